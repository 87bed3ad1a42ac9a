"""A probability becomes a verdict by the model's own bounds, or by the one pair of constants."""

import math

import pytest

from agent.detector.verdicts import (
    UNCALIBRATED,
    bounds_of,
    bounds_text,
    probability_of,
    verdict,
)
from agent.protocol.jobs import Verdict, VerdictBounds

CALIBRATED = VerdictBounds(0.25, 0.75, 0.01)


@pytest.mark.parametrize("bounds", [UNCALIBRATED, CALIBRATED])
def test_each_bound_belongs_to_the_graver_verdict(bounds):
    benign, malicious = bounds.benign_below, bounds.malicious_from
    found = [
        verdict(chance, bounds)
        for chance in (0.0, math.nextafter(benign, 0), benign, math.nextafter(malicious, 0))
    ]
    assert found == [Verdict.BENIGN, Verdict.BENIGN, Verdict.UNSURE, Verdict.UNSURE]
    assert {verdict(chance, bounds) for chance in (malicious, 1.0)} == {Verdict.MALICIOUS}


def test_calibrated_bounds_travel_with_the_model():
    assert bounds_of({"schema": "x", **bounds_text(CALIBRATED)}) == CALIBRATED
    assert bounds_text(UNCALIBRATED) == {}


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {},
        {"benign_below": "0.2", "malicious_from": "0.8"},
        {"benign_below": "0.8", "malicious_from": "0.2", "false_positive_rate": "0.01"},
        {"benign_below": "nan", "malicious_from": "0.8", "false_positive_rate": "0.01"},
        {"benign_below": "0.2", "malicious_from": "0.8", "false_positive_rate": "2"},
        {"benign_below": "0", "malicious_from": "0.8", "false_positive_rate": "0.01"},
        {"benign_below": "x", "malicious_from": "0.8", "false_positive_rate": "0.01"},
    ],
    ids=str,
)
def test_p11_bounds_that_make_no_sense_are_not_used(metadata):
    assert bounds_of(metadata) == UNCALIBRATED


def test_a_logit_becomes_a_probability_without_overflow():
    assert [probability_of(logit) for logit in (-1e9, 0.0, 1e9)] == [
        pytest.approx(0, abs=1e-200),
        0.5,
        1.0,
    ]
