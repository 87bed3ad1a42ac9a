"""The privacy budget: decides from past charges and a price whether a round may be paid.

1. Within any `period_days` days the charges stay within ε per period; over the device's whole life,
   within the lifetime ceiling.
2. How fast the period's budget may go is capped in ρ, on the device alone (`SpendingCaps`): for one
   round, for a day, and for as long as no new model comes. So neither a peer that makes rounds fail
   nor a server that lies can burn the budget (P4).
3. A charge counts from the moment it is written and is never refunded. `age_s` says how old it is:
   a clock that is set while the computer runs makes no charge older. It leaves the period only
   when the server's signed time agrees (agent.privacy.agreed_time).
4. Nothing here renews or raises a budget: its figures come from the notice that the person agreed
   to.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

from agent.clock import Uptime
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
class SpendingCaps:
    """How fast a period's budget may be spent: one part of it in so many."""

    round_parts: int = 10
    """One round costs at most a tenth."""
    day_parts: int = 10
    """All rounds of 24 hours together cost at most a tenth."""
    model_parts: int = 4
    """All rounds on one model cost at most a quarter; then the person is asked."""

    @property
    def are_for_tests(self) -> bool:
        """Whether they allow faster spending than the product's."""
        product = PRODUCT_SPENDING
        return (
            self.round_parts < product.round_parts
            or self.day_parts < product.day_parts
            or self.model_parts < product.model_parts
        )


PRODUCT_SPENDING = SpendingCaps()
FAST_SPENDING = SpendingCaps(1, 1, 1)
"""For demonstrations and tests, on devices that they made: the whole budget may go in one round."""


class Limit(Enum):
    """What forbids a round."""

    PERIOD = "period"
    """The budget of the period or of the device's life."""
    ROUND = "round"
    DAY = "day"
    MODEL = "model"


@dataclass(frozen=True)
class Moment:
    """One moment by both clocks."""

    at: int
    """In seconds since the epoch."""
    uptime: Uptime
    """Its `start` is "" in charges of versions that did not note it."""


@dataclass(frozen=True)
class Spent:
    """A past charge."""

    at: int
    """In seconds since the epoch by this computer's present clock: now less its age."""
    units: int
    """Of ρ."""
    is_on_model: bool = False
    """Made on the model of the round in question, or on a newer one."""
    agreed_at: int | None = None
    """Like `at`, from its age by the time that both clocks agree on, which the period needs as
    well. None: as `at`."""

    @property
    def in_period_from(self) -> int:
        """When its period began."""
        return self.at if self.agreed_at is None else max(self.at, self.agreed_at)


@dataclass(frozen=True)
class Allowed:
    remaining_units: int
    """What is left of the period's budget after this price."""


@dataclass(frozen=True)
class Refused:
    may_take_part_at: int | None
    """When this limit allows the price again, in seconds since the epoch. None: waiting alone does
    not help."""
    limit: Limit = Limit.PERIOD


def decide(
    budget: Budget,
    caps: SpendingCaps,
    history: Iterable[Spent],
    now: int,
    price: int,
    *,
    models_allowed: int = 1,
) -> Allowed | Refused:
    """Decide whether a round of this price may be paid.

    `models_allowed`: how many times the share of one model may go to this one; 1 and one more for
    each time that the person allowed it. Raises ValueError for a price that is not positive or a
    negative charge.
    """
    charges = sorted(history, key=lambda spent: spent.at)
    if price <= 0 or any(spent.units < 0 for spent in charges):
        raise ValueError("expected a positive price and no negative charge")
    whole = budget.rho_units
    if price > whole // caps.round_parts:
        return Refused(None, Limit.ROUND)
    if _units(charges) + price > budget.lifetime_rho_units:
        return Refused(None)
    in_period = sorted(
        (replace(spent, at=spent.in_period_from) for spent in charges), key=lambda spent: spent.at
    )
    period = _Window(in_period, now, budget.period_days * DAY_S, whole)
    if not period.has_room(price):
        return Refused(period.has_room_at(price))
    on_model = _units(spent for spent in charges if spent.is_on_model)
    if on_model + price > models_allowed * (whole // caps.model_parts):
        return Refused(None, Limit.MODEL)
    day = _Window(charges, now, DAY_S, whole // caps.day_parts)
    if not day.has_room(price):
        return Refused(day.has_room_at(price), Limit.DAY)
    return Allowed(whole - period.spent - price)


def age_s(charged: Moment, now: Moment, started_at: int | None) -> int:
    """Return how old a charge is, at the least, in seconds.

    Within one start the uptime says it exactly, whatever happens to the clock. After a restart the
    clock says it: the one at the first look after the start, `started_at`, so that setting it later
    changes nothing. But it is never less than the time since the restart, so that a clock that was
    ahead once locks nobody out for long. `started_at`: when this start began, by the clock at the
    first look; None before that.
    """
    if not charged.uptime.start:
        return max(0, now.at - charged.at)
    if charged.uptime.start == now.uptime.start:
        return max(0, now.uptime.seconds - charged.uptime.seconds)
    clock = now.at if started_at is None else min(now.at, started_at + now.uptime.seconds)
    return max(0, clock - charged.at, now.uptime.seconds)


@dataclass(frozen=True)
class _Window:
    """The last `length_s` seconds, in which at most `most` units may be spent."""

    charges: list[Spent]
    """All of them, the oldest first."""
    now: int
    length_s: int
    most: int

    @property
    def spent(self) -> int:
        return _units(self._counted)

    def has_room(self, price: int) -> bool:
        return self.spent + price <= self.most

    def has_room_at(self, price: int) -> int | None:
        """Return when enough charges will have left the window; None if the price never fits."""
        spent = self.spent
        for charge in self._counted:
            spent -= charge.units
            if spent + price <= self.most:
                return charge.at + self.length_s
        return None

    @property
    def _counted(self) -> list[Spent]:
        return [charge for charge in self.charges if charge.at > self.now - self.length_s]


def _units(charges: Iterable[Spent]) -> int:
    return sum(charge.units for charge in charges)
