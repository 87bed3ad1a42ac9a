"""The wall around a person's privacy budget: what was charged and when, and a price, give yes or
no.

1. In any stretch of `period_days` the charges stay within ε per period; over the whole life within
   the lifetime ceiling.
2. A charge counts from the moment it is written, is never refunded, and one dated in the future
   counts as of now (a clock set back gives nothing away).
3. Nothing here renews or raises a budget: its figures come from the notice that the person agreed
   to.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from agent.privacy.zcdp import rho_for_epsilon

DAY_S = 24 * 3600


@dataclass(frozen=True)
class Budget:
    epsilon: float
    """ε per period."""
    delta: float
    period_days: int
    lifetime_epsilon: float
    """Ceiling over all periods."""

    @property
    def rho_units(self) -> int:
        """What a period holds."""
        return rho_for_epsilon(self.epsilon, self.delta)

    @property
    def lifetime_rho_units(self) -> int:
        return rho_for_epsilon(self.lifetime_epsilon, self.delta)


@dataclass(frozen=True)
class Allowed:
    remaining_units: int
    """What the period still holds after this price."""


@dataclass(frozen=True)
class Refused:
    may_take_part_at: int | None
    """When enough of the period's charges are older than the period; None: never within the agreed
    figures."""


def decide(
    budget: Budget, charges: Iterable[tuple[int, int]], now: int, price: int
) -> Allowed | Refused:
    """Decide whether a round may be paid. `charges` are (seconds since the epoch, units of ρ)."""
    history = sorted(charges)
    if price <= 0 or any(units < 0 for _, units in history):
        raise ValueError("a price is positive and a charge is not negative")
    most = budget.rho_units
    period_s = budget.period_days * DAY_S
    if price > most or sum(units for _, units in history) + price > budget.lifetime_rho_units:
        return Refused(None)
    counted = [(at, units) for at, units in history if at > now - period_s]
    spent = sum(units for _, units in counted)
    if spent + price <= most:
        return Allowed(most - spent - price)
    for at, units in counted:
        spent -= units
        if spent + price <= most:
            return Refused(at + period_s)
    return Refused(None)
