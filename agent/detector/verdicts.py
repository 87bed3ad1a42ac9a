"""Gives the verdict for a probability. The two bounds have one place: the model's own, which
calibration stored with it, or today's constants.
"""

import math
from collections.abc import Mapping

from agent.protocol.jobs import Verdict, VerdictBounds

UNCALIBRATED = VerdictBounds(benign_below=0.5, malicious_from=0.8, false_positive_rate=None)
"""For a model that carries no bounds. Between the two a scan says "unsure": a false alarm costs a
person more than an open question."""
BOUNDS_KEYS = ("benign_below", "malicious_from", "false_positive_rate")
"""In the metadata of a model's safetensors file, as decimal text."""


def bounds_of(metadata: Mapping[str, str] | None) -> VerdictBounds:
    """Return the bounds that a model's metadata states; UNCALIBRATED unless all three are valid."""
    try:
        benign_below, malicious_from, rate = (float((metadata or {})[key]) for key in BOUNDS_KEYS)
    except (KeyError, ValueError):
        return UNCALIBRATED
    if not (0 < benign_below <= malicious_from <= 1 and 0 <= rate <= 1):
        return UNCALIBRATED
    return VerdictBounds(benign_below, malicious_from, rate)


def bounds_text(bounds: VerdictBounds) -> dict[str, str]:
    """Return the metadata that states calibrated bounds; {} for uncalibrated ones."""
    values = (bounds.benign_below, bounds.malicious_from, bounds.false_positive_rate)
    if None in values:
        return {}
    return dict(zip(BOUNDS_KEYS, map(repr, values), strict=True))


def verdict(probability: float, bounds: VerdictBounds) -> Verdict:
    """Return a scan's verdict at this probability."""
    if probability >= bounds.malicious_from:
        return Verdict.MALICIOUS
    return Verdict.BENIGN if probability < bounds.benign_below else Verdict.UNSURE


def probability_of(logit: float) -> float:
    """Return the probability of being malicious at this logit."""
    return 1 / (1 + math.exp(-max(-500.0, min(logit, 500.0))))
