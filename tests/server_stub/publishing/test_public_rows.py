"""The operator's rows survive their file, grow without copies, and are refused when they do not
fit.
"""

import numpy as np
import pytest

from agent.detector.synthetic import generate
from agent.errors import OperatorActionError
from server_stub.publishing import public_rows
from server_stub.publishing.public_rows import PublicRows, read_public_rows, write_public_rows
from tests.fakes.small_base import small_base


@pytest.fixture
def rows():
    table = generate(np.random.default_rng(5), 40)
    return PublicRows(table.rows, table.labels, np.linspace(-3, 3, len(table.labels)))


def test_rows_survive_their_file(rows, tmp_path):
    write_public_rows(tmp_path / "rows.npz", rows)
    again = read_public_rows(tmp_path / "rows.npz")
    for name in ("rows", "labels", "logits"):
        assert np.array_equal(getattr(again, name), getattr(rows, name))


def test_a_replay_takes_the_stored_logits_and_not_those_of_the_base(rows):
    base = small_base()
    replay = rows.replay(base.content, 0.5)
    assert replay.prepared.offsets == pytest.approx(rows.logits / 2)
    assert replay.prepared.features.shape == (len(rows), base.d)


def test_rows_that_are_known_are_not_added_again(rows):
    fresh = PublicRows(rows.rows + np.uint64(1), rows.labels, rows.logits)
    assert len(rows.joined(rows)) == len(rows)
    assert len(rows.joined(fresh)) == 2 * len(rows)


@pytest.mark.parametrize(
    "change",
    [{"y": np.zeros(40)}, {"logits": np.full(40, np.nan)}, {"X": np.zeros((40, 28))}, {"y": None}],
    ids=["one class", "no number", "another width", "no labels"],
)
def test_p11_rows_that_do_not_fit_are_refused(rows, tmp_path, change):
    arrays = {"X": rows.rows[:40], "y": rows.labels[:40], "logits": rows.logits[:40], **change}
    path = tmp_path / "rows.npz"
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    with pytest.raises(OperatorActionError) as raised:
        read_public_rows(path)
    assert raised.value.code == "BAD_ROWS"


def test_p11_more_rows_than_can_be_read_are_not_written(rows, tmp_path, monkeypatch):
    path = tmp_path / "rows.npz"
    write_public_rows(path, rows)
    monkeypatch.setattr(public_rows, "MAX_ROWS", 50)
    fresh = PublicRows(rows.rows + np.uint64(1), rows.labels, rows.logits)
    with pytest.raises(OperatorActionError) as raised:
        write_public_rows(path, rows.joined(fresh))
    assert raised.value.code == "BAD_ROWS"
    assert len(read_public_rows(path)) == 40
