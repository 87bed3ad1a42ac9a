"""At a calibrated threshold no more benign rows are called malicious than stated."""

import numpy as np
import pytest

from agent.detector.families.base_head import BaseHead
from agent.detector.families.family import Head
from agent.detector.scoring import read_model
from agent.detector.synthetic import generate
from agent.errors import OperatorActionError
from agent.protocol.jobs import ModelFiles
from server_stub.publishing.calibration import (
    Calibration,
    read_calibration,
    threshold_at,
    write_calibration,
)
from tests.fakes.small_base import small_base


@pytest.fixture
def calibration():
    table = generate(np.random.default_rng(5), 400)
    return Calibration(table.rows, table.labels, 0.05, 0.2)


@pytest.fixture
def detector():
    base = small_base()
    head = Head(np.zeros(base.d), np.random.default_rng(2).normal(size=base.d), base.digest)
    return read_model(ModelFiles(BaseHead().write_head(head), base.content, "base+head/1", 500))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5])
def test_at_most_the_stated_share_reaches_the_threshold(share):
    chances = np.random.default_rng(1).random(1000)
    found = threshold_at(chances, share)
    assert np.mean(chances >= found) == pytest.approx(share)


def test_equal_scores_stay_below_the_threshold_together():
    assert threshold_at(np.full(100, 0.7), 0.3) > 0.7


def test_the_bounds_hold_on_the_rows_of_the_calibration(calibration, detector):
    bounds = calibration.bounds(detector)
    benign = detector.probability(calibration.rows[calibration.labels == 0])
    assert np.mean(benign >= bounds.malicious_from) <= 0.05
    assert np.mean(benign >= bounds.benign_below) <= 0.2
    assert bounds.benign_below <= bounds.malicious_from
    assert bounds.false_positive_rate == 0.05


def test_a_calibration_survives_its_file(calibration, tmp_path):
    path = tmp_path / "calibration.npz"
    assert read_calibration(path) is None
    write_calibration(path, calibration)
    again = read_calibration(path)
    assert np.array_equal(again.rows, calibration.rows)
    assert (again.fpr, again.unsure_fpr) == (0.05, 0.2)
    path.write_bytes(b"damaged")
    with pytest.raises(OperatorActionError) as raised:
        read_calibration(path)
    assert raised.value.code == "BAD_ROWS"
