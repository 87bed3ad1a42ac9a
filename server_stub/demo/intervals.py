"""95 % confidence intervals of an accuracy and of an AUC on a hold-out. Pure.

They answer one question: how far could the figure be off because the hold-out is only a sample?
They treat rows as independent, and say nothing about another split, other devices or fresh noise.

- Accuracy: Wilson's score interval (Wilson 1927), which also holds near 0 and 1.
- AUC: the variance of DeLong, DeLong and Clarke-Pearson (1988), computed from ranks.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.959963984540054
"""The standard normal quantile of 0.975."""


@dataclass(frozen=True)
class Interval:
    """The values between `low` and `high`, both included."""

    low: float
    high: float

    def overlaps(self, other: "Interval") -> bool:
        """Whether some value lies in both."""
        return self.low <= other.high and other.low <= self.high


def wilson(hits: int, trials: int) -> Interval:
    """The interval of a proportion. Raises ValueError unless 0 <= hits <= trials and trials > 0."""
    if not 0 <= hits <= trials or not trials:
        raise ValueError(f"expected 0 <= hits <= trials and trials > 0, got {hits} of {trials}")
    share, z_squared = hits / trials, Z_95**2
    center = (share + z_squared / (2 * trials)) / (1 + z_squared / trials)
    half_width = (
        Z_95
        * np.sqrt(share * (1 - share) / trials + z_squared / (4 * trials**2))
        / (1 + z_squared / trials)
    )
    # The bounds at 0 and 1 are exact; rounding must not move them.
    return Interval(
        0.0 if hits == 0 else float(center - half_width),
        1.0 if hits == trials else float(center + half_width),
    )


def auc_variance(malicious: NDArray[np.float64], benign: NDArray[np.float64]) -> float:
    """DeLong's estimate of the variance of an AUC, from the scores of both classes.

    Each needs at least two scores. It is 0 where all rows have the same score, as with an untrained
    model: its AUC is 0.5 on any rows. It is also 0 where the classes separate perfectly.
    Raises ValueError for fewer than two scores.
    """
    if len(malicious) < 2 or len(benign) < 2:
        raise ValueError("expected at least two scores of each class")
    above_benign = _share_below(malicious, benign)
    below_malicious = 1 - _share_below(benign, malicious)
    return float(
        np.var(above_benign, ddof=1) / len(malicious)
        + np.var(below_malicious, ddof=1) / len(benign)
    )


def delong(malicious: NDArray[np.float64], benign: NDArray[np.float64]) -> Interval:
    """The interval of an AUC, from the scores of both classes; all values from 0 to 1 where a class
    has fewer than two.
    """
    if len(malicious) < 2 or len(benign) < 2:
        return Interval(0.0, 1.0)
    auc, variance = float(_share_below(malicious, benign).mean()), auc_variance(malicious, benign)
    if not variance and auc in (0.0, 1.0):
        # No pair of rows is in the wrong order, which does not mean that none ever will be: take
        # the rows of the smaller class as trials without a miss.
        rows = min(len(malicious), len(benign))
        return wilson(round(auc) * rows, rows)
    half_width = Z_95 * variance**0.5
    return Interval(max(0.0, auc - half_width), min(1.0, auc + half_width))


def _share_below(scores: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each score, the share of the others that are lower; an equal one counts half."""
    ordered = np.sort(others)
    lower = np.searchsorted(ordered, scores, "left")
    upto = np.searchsorted(ordered, scores, "right")
    shares: NDArray[np.float64] = (lower + upto) / (2 * len(ordered))
    return shares
