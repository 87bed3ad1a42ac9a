"""What the success of an attack proves about a mechanism: exact lower bounds on ρ and on ε.

1. An attacker says "present" when a statistic passes a threshold. The counts of right and of false
   answers give one-sided Clopper-Pearson bounds: at least `hits` true, at most `alarms` false.
2. Post-processing: a mechanism with ρ-zCDP leaves at most α·ρ of Rényi divergence of every order α
   between the answers. So the divergence of the two bounds over α bounds ρ from below.
3. (ε, δ): P(right) <= e^ε·P(false) + δ bounds ε from below in the same way.
"""

import math
from dataclasses import dataclass

from scipy.stats import beta

ORDERS = tuple(1 + 2.0 ** (step / 4) for step in range(-32, 33))


@dataclass(frozen=True)
class Answers:
    """How often an attacker said "present"."""

    hits: int
    """Where it was."""
    alarms: int
    """Where a zero went in."""
    runs: int
    """Of each of the two."""


def at_least(successes: int, runs: int, doubt: float) -> float:
    """Return the Clopper-Pearson lower bound on a probability, wrong with probability `doubt`."""
    return 0.0 if successes == 0 else float(beta.ppf(doubt, successes, runs - successes + 1))


def at_most(successes: int, runs: int, doubt: float) -> float:
    """Return the Clopper-Pearson upper bound on a probability, wrong with probability `doubt`."""
    if successes == runs:
        return 1.0
    return float(beta.ppf(1 - doubt, successes + 1, runs - successes))


def rho_at_least(answers: Answers, doubt: float) -> float:
    """Return a lower bound on ρ, wrong with probability at most `doubt`."""
    right, false = _right_and_false(answers, doubt)
    if right <= false:
        return 0.0
    return max(_divergence(right, false, order) / order for order in ORDERS)


def epsilon_at_least(answers: Answers, delta: float, doubt: float) -> float:
    """Return a lower bound on ε at this δ, wrong with probability at most `doubt`."""
    right, false = _right_and_false(answers, doubt)
    return max(0.0, math.log((right - delta) / false)) if right > delta else 0.0


def _right_and_false(answers: Answers, doubt: float) -> tuple[float, float]:
    """Two bounds, each of which takes half of the doubt."""
    return (
        at_least(answers.hits, answers.runs, doubt / 2),
        at_most(answers.alarms, answers.runs, doubt / 2),
    )


def _divergence(right: float, false: float, order: float) -> float:
    """Return the Rényi divergence between a coin of bias `right` and one of bias `false`."""
    logs = [
        order * math.log(p) + (1 - order) * math.log(q)
        for p, q in ((right, false), (1 - right, 1 - false))
        if p > 0.0
    ]
    largest = max(logs)
    powers = sum(math.exp(log - largest) for log in logs)
    return (largest + math.log(powers)) / (order - 1)
