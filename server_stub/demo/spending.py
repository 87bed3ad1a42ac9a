"""What the devices of a demonstration have spent, by their own ledgers."""

from collections.abc import Iterable
from dataclasses import dataclass

from agent.privacy.zcdp import epsilon, epsilon_between


@dataclass(frozen=True)
class Spending:
    """ε of the device that has spent most, by each measure."""

    epsilon: float
    """Its update against none (`epsilon_ledger`)."""
    epsilon_between: float
    """Any two updates of it against each other."""
    epsilon_local: float
    """Its update against none, if the protection of the sums failed."""


def most_spent(ledgers: Iterable[tuple[int, int]], delta: float) -> Spending:
    """`ledgers`: for each device the units of ρ that its ledger charged, and those that its own
    noise alone would have cost.
    """
    charged, alone = zip((0, 0), *ledgers, strict=True)
    return Spending(
        epsilon(max(charged), delta),
        epsilon_between(max(charged), delta),
        epsilon(max(alone), delta),
    )
