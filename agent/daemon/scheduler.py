"""When the next cycle runs: a pure function of what happened, the clock and one random draw.

1. The agent asks for offers every 30 minutes ± 50 %. The server may lengthen that, but never
   shorten it below 5 minutes. The draw spreads a fleet.
2. No cycle runs within 2 minutes of the start or of waking from sleep. There is one exception: when
   a person has just joined and agreed, the device registers at once, while they watch.
3. After a fault comes exponential back-off with jitter (agent.transport.backoff). When the worker
   fails again and again, the agent stops trying for a day and shows that.
4. Where the end of a wait is known (hold, budget, pause), the next cycle runs then, within a day.
   When a condition lifts, or a person changes something, the next cycle runs soon. Where a whole
   fleet waits for the same hour, the draw spreads it.
5. While a finished update waits for a group, the server's own pace holds for READY_PATIENCE_S, down
   to READY_POLL_S; after that the usual pace.
6. Times are those of a clock that counts sleep and that nobody sets (Clock.elapsed): sleep leads
   to exactly one cycle, and setting the clock to none.
"""

from dataclasses import dataclass, replace

from agent.reasons import ReasonCode
from agent.rounds.outcome import USER_RESOLVABLE, CycleResult, Outcome
from agent.transport.backoff import backoff_s

POLL_S = 30 * 60
MIN_POLL_S = 5 * 60
MAX_POLL_S = 24 * 3600
SETTLE_S = 2 * 60
"""No cycle runs this soon after the start or after waking."""
READY_POLL_S = 10
READY_PATIENCE_S = 30 * 60
LIFT_S = 15
"""The next cycle runs within this of a condition that lifted."""
SPREAD_S = 10 * 60
GIVE_UP_AFTER = 5
"""Faults of the worker in a row after which the agent stops trying for a day."""


@dataclass(frozen=True)
class History:
    """What the time of the next cycle depends on. Times are in seconds of Clock.elapsed."""

    awake_since: int
    """When the agent started or the machine last woke."""
    last_at: int | None = None
    """When the last cycle ended."""
    faults: int = 0
    """How many cycles in a row have failed."""
    worker_faults: int = 0
    """How many of them, the latest in a row, failed in the worker: a crash, a hang, a limit."""
    poll_s: int | None = None
    """The period that the server asked for."""
    not_before: int | None = None
    spread_s: int = 0
    """The draw adds up to this much to `not_before`, where many devices wait for the same time."""
    is_waiting: bool = False
    """The last cycle waited for the state of this machine."""
    is_user_resolvable: bool = False
    """A person can change what ended the last cycle."""
    ready_since: int | None = None
    """When a finished update began to wait for a group."""
    has_joined: bool = False
    """A person has just joined an operator and agreed; the first cycle has not ended yet."""


def after_cycle(history: History, result: CycleResult, now: int, wall: int) -> History:
    """Return the history after a cycle with this result. `wall`: now, in seconds since the epoch,
    as the ends of the result's reasons are.
    """
    ends = [
        reason.until - wall + now
        for reason in result.reasons
        # Rounds may pass sooner and end an exclusion: the usual pace finds out.
        if reason.until is not None and reason.until > wall and reason.code != ReasonCode.EXCLUDED
    ]
    until = min(min(ends, default=0), now + MAX_POLL_S) if result.outcome is not Outcome.SENT else 0
    shared = any(reason.code is ReasonCode.OUTSIDE_HOURS for reason in result.reasons)
    return History(
        history.awake_since,
        now,
        poll_s=result.next_poll_s,
        not_before=until or None,
        spread_s=SPREAD_S if shared else 0,
        is_waiting=result.outcome is Outcome.WAITING,
        is_user_resolvable=result.outcome in USER_RESOLVABLE,
        ready_since=(history.ready_since or now) if result.outcome is Outcome.READY else None,
    )


def after_fault(
    history: History, now: int, retry_after_s: int = 0, *, of_worker: bool = False
) -> History:
    """Return the history after a cycle that failed.

    `retry_after_s`: how long the server asked to wait; 0 where it did not ask. `of_worker`: the
    worker failed.
    """
    in_a_row = history.worker_faults + 1 if of_worker else 0
    return replace(
        history,
        last_at=now,
        faults=history.faults + 1,
        worker_faults=in_a_row,
        not_before=now + retry_after_s if retry_after_s else None,
        is_waiting=False,
        has_joined=False,
    )


def after_lift(history: History, now: int) -> History:
    """Return the history once a condition has lifted: if the last cycle waited for it, the next one
    runs within LIFT_S.
    """
    if not history.is_waiting or history.faults:
        return history
    return replace(history, not_before=now + LIFT_S, spread_s=LIFT_S, is_waiting=False)


def after_change(history: History, now: int) -> History:
    """Return the history once a person has changed something: if that can resolve what ended the
    last cycle, the next one runs within LIFT_S.
    """
    is_soon = history.not_before is not None and history.not_before <= now + LIFT_S
    if not history.is_user_resolvable or history.faults or is_soon:
        return history
    return replace(history, not_before=now + LIFT_S, spread_s=LIFT_S, is_waiting=False)


def after_joining(history: History) -> History:
    """Return the history once a person has joined an operator and agreed: a cycle runs at once."""
    return replace(history, has_joined=True)


def after_wake(history: History, now: int) -> History:
    """Return the history once the machine has woken from sleep."""
    return replace(history, awake_since=now)


def after_clock_set(history: History, now: int) -> History:
    """Return the history once somebody has set this computer's clock, which may end what the last
    cycle failed at or waited for: the next one runs soon, but a clock that is set again and again
    gets no more cycles than any other.
    """
    earliest = 0 if history.last_at is None else history.last_at + MIN_POLL_S
    return replace(history, faults=0, spread_s=0, not_before=max(now + LIFT_S, earliest))


def gave_up(history: History) -> bool:
    """Return whether the worker failed so often that the agent stops trying for a day."""
    return history.worker_faults >= GIVE_UP_AFTER


def next_at(history: History, draw: float) -> int:
    """Return when the next cycle is due, in seconds of Clock.elapsed.

    `draw` is uniform in [0, 1), drawn once per cycle.
    """
    if history.has_joined:
        return history.awake_since
    settled = history.awake_since + SETTLE_S
    if history.last_at is None:
        return settled + int(draw * SETTLE_S)
    if history.not_before is not None and not history.faults:
        return max(settled, history.not_before + int(draw * history.spread_s))
    if gave_up(history):
        return history.last_at + MAX_POLL_S
    if history.faults:
        return max(
            settled, history.last_at + int(backoff_s(history.faults, draw)), history.not_before or 0
        )
    if (
        history.ready_since is not None
        and history.poll_s
        and history.last_at - history.ready_since < READY_PATIENCE_S
    ):
        return max(settled, history.last_at + max(READY_POLL_S, min(history.poll_s, POLL_S)))
    period = min(max(history.poll_s or POLL_S, MIN_POLL_S), MAX_POLL_S)
    return max(settled, history.last_at + max(MIN_POLL_S, int(period * (0.5 + draw))))
