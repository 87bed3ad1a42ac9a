"""The life of a round as a table: (state, event) -> state. Sans-IO; the coordinator carries it out.

With secure aggregation a round opens when its join window is announced, and TARGET means that its
groups have ended and at least one gave a sum.

OPEN ── TARGET or DEADLINE ──► COMBINING ── PUBLISHED ──► DONE
  └── TOO_FEW, REPLACED ──► ABANDONED          ├── UNUSABLE, REPLACED ──► ABANDONED
                                               └── REFUSED ──► REJECTED
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from agent.errors import InternalError, OperatorActionError
from agent.privacy.budget import PRODUCT_SPENDING
from agent.privacy.plan import RoundIdentity, padded, plan_local, plan_secagg
from agent.privacy.policy import DeviceLimits
from agent.privacy.zcdp import epsilon, rho_for_epsilon
from agent.protocol.messages import Mode, RoundConfig, Task
from agent.status import epsilon_in_words

PHASES_AFTER_JOIN = 4
SEED_BYTES = 32
MAX_EPSILON = 10.0
"""The largest budget of a period that a device lets a person agree to."""


class State(StrEnum):
    OPEN = "open"
    COMBINING = "combining"
    """The set of updates is fixed and determines the next model."""
    DONE = "done"
    ABANDONED = "abandoned"
    """Ended without a new model."""
    REJECTED = "rejected"
    """Ended without a new model: what the devices sent would have made a worse one."""


class Event(StrEnum):
    TARGET = "target"
    DEADLINE = "deadline"
    TOO_FEW = "too_few"
    REPLACED = "replaced"
    """The operator published another model."""
    PUBLISHED = "published"
    UNUSABLE = "unusable"
    """The sum is outside the range of honest updates."""
    REFUSED = "refused"
    """No sum passed the gate, or the canary refused the model."""


TABLE: dict[tuple[State, Event], State] = {
    (State.OPEN, Event.TARGET): State.COMBINING,
    (State.OPEN, Event.DEADLINE): State.COMBINING,
    (State.OPEN, Event.TOO_FEW): State.ABANDONED,
    (State.OPEN, Event.REPLACED): State.ABANDONED,
    (State.COMBINING, Event.PUBLISHED): State.DONE,
    (State.COMBINING, Event.UNUSABLE): State.ABANDONED,
    (State.COMBINING, Event.REFUSED): State.REJECTED,
    (State.COMBINING, Event.REPLACED): State.ABANDONED,
}

ENDED = frozenset({State.DONE, State.ABANDONED, State.REJECTED})
"""The states that nothing follows."""


@dataclass(frozen=True)
class RoundPlan:
    """How the aggregator runs its rounds."""

    target: int = 10
    """A round closes when this many updates have arrived..."""
    seconds: int = 24 * 3600
    """... or after this time."""
    minimum: int = 1
    """With fewer updates at the deadline the round makes no model."""
    planned: int = 20
    """Rounds that one device may join in a budget period: they share the period's ε equally. A
    device gives a tenth of its budget in a day at most, and a quarter without a new model: with 20,
    two rounds a day, and five that fail before the person is asked."""
    fast_spending: bool = False
    """Rounds may cost more than the product's devices pay for one. For demonstrations and tests,
    with devices that are set up for it."""
    epsilon_milli: int = 1000
    delta_inverse: int = 100_000
    pause_s: int = 0
    """Between two rounds."""
    server_rate_milli: int = 1000
    """How far the model moves along the mean update, in thousandths."""
    server_decay_milli: int = 0
    """The server rate is divided by the round's number to this power, in thousandths, so that the
    noise of late rounds moves the model less."""
    server_shrink_milli: int = 1000
    """For a family with a base: each round's rate is this share of the one before, in
    thousandths."""
    g_max: int = 100
    """Secure aggregation: the most devices in a group."""
    min_group: int = 32
    """The fewest devices in a group."""
    min_sum: int = 20
    """The fewest updates whose sum may be opened; a round for many devices demands more."""
    gamma_milli: int = 200
    """Share of colluding devices that the noise accounts for, in thousandths."""
    phase_s: int = 60
    """Time limit of each of the four phases."""
    join_s: int = 120
    """Length of the join window."""
    lead_s: int = 3600
    """Time from the announcement of a window to its opening: a ready device polls at least twice in
    it."""
    ready_target: int = 0
    """A window is announced once this many devices are ready; 0: `min_group`."""
    coordinates: int = 0
    """Coordinates of the rotated update that each device sends, the same for all devices, drawn
    anew for each round; 0: all."""

    @property
    def is_test_floor(self) -> bool:
        """Whether groups may be smaller than the product's own devices accept."""
        return self.min_group < 32 or self.min_sum < 20 or self.gamma_milli < 200


def after(state: State, event: Event) -> State:
    """The next state. Raises InternalError for a pair that is not in the table."""
    if (state, event) not in TABLE:
        raise InternalError("ROUND_STATE", f"A round in state {state} cannot handle {event}.")
    return TABLE[state, event]


def due(updates: int, target: int, minimum: int, closes_at: int, now: int) -> Event | None:
    """The event that ends an open round now, if any."""
    if updates >= target:
        return Event.TARGET
    if now < closes_at:
        return None
    # max: there is no mean of nothing, even with a minimum of 0.
    return Event.DEADLINE if updates >= max(1, minimum) else Event.TOO_FEW


def server_rate(plan: RoundPlan, round_id: int) -> float:
    """How far this round moves the model along the mean update; 1 is all of it."""
    return float(plan.server_rate_milli / 1000 / round_id ** (plan.server_decay_milli / 1000))


def rho_units_per_round(plan: RoundPlan) -> int:
    """The price of one round, in the ledger's units, rounded down."""
    # Rounded up, the last planned round would no longer fit into the device's budget.
    return rho_for_epsilon(plan.epsilon_milli / 1000, 1 / plan.delta_inverse) // plan.planned


def check_price(plan: RoundPlan) -> None:
    """Check that a device with the budget of this plan would pay for its rounds.

    Raises OperatorActionError PRICE_TOO_HIGH.
    """
    if plan.fast_spending:
        return
    delta = 1 / plan.delta_inverse
    budget = rho_for_epsilon(min(plan.epsilon_milli / 1000, MAX_EPSILON), delta)
    most = min(budget // PRODUCT_SPENDING.round_parts, DeviceLimits().max_rho_units)
    if (price := rho_units_per_round(plan)) > most:
        raise OperatorActionError(
            "PRICE_TOO_HIGH",
            f"A round would cost ε = {epsilon_in_words(epsilon(price, delta))}, but a device gives"
            f" at most ε = {epsilon_in_words(epsilon(most, delta))} for one round.",
            "Ask for more rounds (--rounds-planned) or a smaller ε.",
        )


def joining(config: RoundConfig) -> tuple[int, int]:
    """When a round's join window opens, and when it closes at the latest, in seconds since the
    epoch.
    """
    # The configuration states when the whole round ends; the phases come off its end.
    return config.opens_at, config.closes_at - PHASES_AFTER_JOIN * config.phase_s


def next_identity(
    task: Task,
    plan: RoundPlan,
    *,
    round_id: int,
    model_version: int,
    model_digest: str,
    now: int,
    random_hex: Callable[[int], str] = secrets.token_hex,
) -> RoundIdentity:
    """The identity of the round that starts now: times from the plan, fresh seeds.

    `random_hex(n)` returns n random bytes in hex.
    """
    # "All coordinates" has one form only, so that equal rounds have equal digests.
    is_subset = 0 < plan.coordinates < padded(task.width)
    if task.mode is Mode.SECAGG:
        opens_at = now + plan.lead_s
        closes_at = opens_at + plan.join_s + PHASES_AFTER_JOIN * plan.phase_s
    else:
        opens_at, closes_at = now, now + plan.seconds
    return RoundIdentity(
        round_id=round_id,
        model_version=model_version,
        model_digest=model_digest,
        opens_at=opens_at,
        closes_at=closes_at,
        rotation_seed=random_hex(SEED_BYTES),
        subset_k=plan.coordinates if is_subset else 0,
        subset_seed=random_hex(SEED_BYTES) if is_subset else "",
    )


def least_group(plan: RoundPlan, g_max: int, min_sum: int) -> int:
    """The fewest devices that make a group: as many as bear that a fifth of them drops out.

    A smaller group would mostly end without a sum, after its devices have paid for one.
    """
    for_sum = -(-min_sum * 5 // 4)
    # t = ⌊(n + c)/2⌋ + 1 is at most 4/5 of n.
    for_threshold = -(-(5 * (plan.gamma_milli * g_max // 1000) + 10) // 3)
    return min(g_max, max(plan.min_group, for_sum, for_threshold))


def group_config(
    task: Task, plan: RoundPlan, identity: RoundIdentity, *, g_max: int, min_sum: int
) -> RoundConfig:
    """The configuration of a round of secure aggregation.

    Raises OperatorActionError PRICE_TOO_LOW, PRICE_TOO_HIGH, GROUP_PLAN.
    """
    check_price(plan)
    return plan_secagg(
        task,
        identity,
        rho_units_per_round=rho_units_per_round(plan),
        g_max=g_max,
        min_group=least_group(plan, g_max, min_sum),
        min_sum=min_sum,
        gamma_milli=plan.gamma_milli,
        phase_s=plan.phase_s,
    )


def local_config(task: Task, plan: RoundPlan, identity: RoundIdentity) -> RoundConfig:
    """The configuration of a local round.

    Raises OperatorActionError PRICE_TOO_LOW, PRICE_TOO_HIGH.
    """
    check_price(plan)
    return plan_local(task, identity, rho_units_per_round=rho_units_per_round(plan))
