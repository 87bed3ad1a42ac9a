"""The privacy budget: decides from past charges and a price whether a round may be paid.

1. Within any `period_days` days the charges stay within ε per period; over the device's whole life,
   within the lifetime ceiling.
2. A charge counts from the moment it is written and is never refunded. One dated in the future
   counts as of now, so setting the clock back gains nothing.
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
        """The budget of one period."""
        return rho_for_epsilon(self.epsilon, self.delta)

    @property
    def lifetime_rho_units(self) -> int:
        """The budget of the device's whole life."""
        return rho_for_epsilon(self.lifetime_epsilon, self.delta)


@dataclass(frozen=True)
class Allowed:
    remaining_units: int
    """What is left of the period's budget after this price."""


@dataclass(frozen=True)
class Refused:
    may_take_part_at: int | None
    """When enough charges will be older than the period, in seconds since the epoch. None: never
    within the agreed figures."""


def decide(
    budget: Budget, charges: Iterable[tuple[int, int]], now: int, price: int
) -> Allowed | Refused:
    """Decide whether a round of this price may be paid.

    `charges` are (seconds since the epoch, units of ρ). Raises ValueError for a price that is not
    positive or a negative charge.
    """
    history = sorted(charges)
    if price <= 0 or any(units < 0 for _, units in history):
        raise ValueError("expected a positive price and no negative charge")
    period_budget = budget.rho_units
    period_s = budget.period_days * DAY_S
    if (
        price > period_budget
        or sum(units for _, units in history) + price > budget.lifetime_rho_units
    ):
        return Refused(None)
    counted = [(at, units) for at, units in history if at > now - period_s]
    spent = sum(units for _, units in counted)
    if spent + price <= period_budget:
        return Allowed(period_budget - spent - price)
    for at, units in counted:
        spent -= units
        if spent + price <= period_budget:
            return Refused(at + period_s)
    return Refused(None)
