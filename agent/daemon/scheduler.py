"""When the agent looks again: a pure function of what happened, the clock and one random draw.

1. Offers are asked for every 30 minutes ± 50 %; the server may lengthen that, never shorten it
   below 5 minutes. The draw spreads a fleet.
2. Never within 2 minutes of the start or of waking from sleep; but at once when a person has just
   joined and agreed: the device registers while they look on.
3. After a fault: exponential back-off with jitter and an offline budget (agent.transport.backoff).
   A worker that fails again and again is given up for a day, and a person sees it.
4. A known end of the waiting (hold, budget, pause) is waited for, within a day; a condition that is
   over lets the next pass come soon. Where a whole fleet waits for the same hour, the draw spreads
   it. What a person changes counts as the end of the waiting, too.
5. A finished update that waits for a group is told of the meeting soon: for READY_PATIENCE_S the
   server's own pace holds, down to READY_POLL_S; after that the usual one.
6. Times are absolute wall time, so that sleep and clock changes lead to one pass, not to none and
   not to several.
"""

from dataclasses import dataclass, replace

from agent.reasons import ReasonCode
from agent.rounds.outcome import USER_RESOLVABLE, CycleResult, Outcome
from agent.transport.backoff import backoff_s

POLL_S = 30 * 60
MIN_POLL_S = 5 * 60
MAX_POLL_S = 24 * 3600
SETTLE_S = 2 * 60
READY_POLL_S = 10
READY_PATIENCE_S = 30 * 60
LIFT_S = 15
SPREAD_S = 10 * 60
GIVE_UP_AFTER = 5


@dataclass(frozen=True)
class History:
    """What the next time depends on."""

    awake_since: int
    """Start of the agent or the last waking, seconds since the epoch."""
    last_at: int | None = None
    faults: int = 0
    """Failed passes in a row."""
    worker_faults: int = 0
    """Of these, the last ones in which the worker crashed, hung or ran into a limit."""
    poll_s: int | None = None
    """What the server asked for."""
    not_before: int | None = None
    spread_s: int = 0
    """The wait until `not_before` is lengthened by a draw within this, where many devices wait for
    the same moment."""
    waits: bool = False
    """The last pass was held back by the machine's state."""
    is_user_resolvable: bool = False
    """The last pass ended for something that a person can change: a pause, a hold, a limit, a
    budget, missing rows."""
    ready_since: int | None = None
    """When a finished update began to wait for a group."""
    has_joined: bool = False
    """A person has just joined an operator and agreed; the first pass has not ended yet."""


def after_pass(history: History, result: CycleResult, now: int) -> History:
    """The history after a pass that was made."""
    waits = [
        reason.until for reason in result.reasons if reason.until is not None and reason.until > now
    ]
    until = (
        min(min(waits, default=0), now + MAX_POLL_S) if result.outcome is not Outcome.SENT else 0
    )
    shared = any(reason.code is ReasonCode.OUTSIDE_HOURS for reason in result.reasons)
    return History(
        history.awake_since,
        now,
        poll_s=result.next_poll_s,
        not_before=until or None,
        spread_s=SPREAD_S if shared else 0,
        waits=result.outcome is Outcome.WAITING,
        is_user_resolvable=result.outcome in USER_RESOLVABLE,
        ready_since=(history.ready_since or now) if result.outcome is Outcome.READY else None,
    )


def after_fault(
    history: History, now: int, retry_after_s: int = 0, *, of_worker: bool = False
) -> History:
    """The history after a pass that failed.

    A worker that fails GIVE_UP_AFTER times in a row is left alone for a day.
    """
    in_a_row = history.worker_faults + 1 if of_worker else 0
    return replace(
        history,
        last_at=now,
        faults=history.faults + 1,
        worker_faults=in_a_row,
        not_before=now + retry_after_s if retry_after_s else None,
        waits=False,
        has_joined=False,
    )


def after_lift(history: History, now: int) -> History:
    """What held back the last pass is over: the next one comes within LIFT_S, not at the next poll.

    Otherwise nothing changes.
    """
    if not history.waits or history.faults:
        return history
    return replace(history, not_before=now + LIFT_S, spread_s=LIFT_S, waits=False)


def after_change(history: History, now: int) -> History:
    """A person changed something that the last pass may have waited for: the next one comes within
    LIFT_S. Otherwise nothing changes.
    """
    is_soon = history.not_before is not None and history.not_before <= now + LIFT_S
    if not history.is_user_resolvable or history.faults or is_soon:
        return history
    return replace(history, not_before=now + LIFT_S, spread_s=LIFT_S, waits=False)


def after_joining(history: History) -> History:
    """A person has joined an operator and agreed: the first pass comes at once."""
    return replace(history, has_joined=True)


def after_wake(history: History, now: int) -> History:
    return replace(history, awake_since=now)


def after_set_back(history: History, now: int) -> History:
    """The clock was ahead and is set right: no time noted before means anything; what happened
    stays.
    """
    return replace(
        history, awake_since=now, last_at=None, not_before=None, spread_s=0, ready_since=None
    )


def gave_up(history: History) -> bool:
    """Whether the worker failed so often that only a person or another day starts it again."""
    return history.worker_faults >= GIVE_UP_AFTER


def next_at(history: History, draw: float) -> int:
    """Seconds since the epoch of the next pass.

    `draw` is uniform in [0, 1) and drawn once per pass.
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
