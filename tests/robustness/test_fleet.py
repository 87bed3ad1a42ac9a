"""The attacks are what they are called, and a tiny fleet runs rounds with each of them."""

import os

import numpy as np
import pytest

from agent.detector.families.family import Prepared
from server_stub.training.server_step import replay
from server_stub.validation.root import parted
from tests.robustness.__main__ import grid, row, tables, write
from tests.robustness.fleet import ATTACKS, HEAD, Case, Fleet, Laboratory, Outcome, run


def prepared(draw, count):
    return Prepared(draw.normal(size=count), draw.normal(0, 0.1, (count, 16)).astype(np.float32))


@pytest.fixture(scope="module")
def lab():
    draw = np.random.default_rng(1)
    public, labels = prepared(draw, 200), np.arange(200) % 2
    sources = np.arange(60) % 2 + 3
    return Laboratory(
        parted(public, labels, np.arange(200) % 4 < 2),
        replay(public, labels),
        prepared(draw, 60),
        sources,
        prepared(draw, 20),
        prepared(draw, 40),
        np.repeat([0, 1], 20),
        np.arange(40) % 2 + 3,
        np.arange(40) % 3 == 0,
        np.zeros(16),
    )


@pytest.mark.parametrize("attack", ATTACKS)
def test_every_attack_runs_through_the_products_code(lab, attack):
    outcome = run(lab, Case(attack, 0.05, 4.0, devices=96, rounds=2), os.urandom(32))
    assert 0 <= outcome.auc <= 100
    assert outcome.rejected <= 2


def test_honest_updates_keep_the_clip_and_an_attack_beyond_it_does_not(lab):
    draw = np.random.default_rng(2)
    fleet = Fleet(lab, Case("scale-over", 0.1, 4.0, devices=96), draw)
    sent = fleet.updates(np.zeros(16), 0, np.eye(16)[0], None)
    lengths = np.linalg.norm(sent, axis=1)
    assert lengths[~fleet.bad].max() <= HEAD.clip * (1 + 1e-6)
    assert lengths[fleet.bad] == pytest.approx(50 * HEAD.clip)


def test_an_attack_that_pauses_is_honest_in_every_second_round(lab):
    fleet = Fleet(lab, Case("on-off", 0.1, 4.0, devices=96), np.random.default_rng(2))
    honest = fleet.honest(np.zeros(16))
    assert np.array_equal(fleet.updates(np.zeros(16), 1, np.eye(16)[0], None), honest)


def test_the_grid_has_every_attack_and_the_page_keeps_its_text(tmp_path):
    assert {case.attack for case in grid("reduced")} == {"none", *ATTACKS}
    assert len(grid("full")) > len(grid("reduced"))
    case = Case("ipm", 0.05, 4.0)
    outcome = Outcome(98.76, 8.6, 4.5, 99.0, 1.25, 0.0, 0)
    assert row(case, [outcome]).startswith("| 4 | anchored-mean | ipm | 5 % | 98.8 | 9 | 4 |")
    page = tmp_path / "page.md"
    page.write_text("before <!-- tables: make robustness -->old<!-- end of the tables --> after")
    write(tables([(case, outcome)], 1, 2.0), page)
    assert page.read_text().startswith("before ")
    assert page.read_text().endswith(" after")
    assert "ipm" in page.read_text()
