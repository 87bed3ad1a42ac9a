"""The consent state machine and its append-only, hash-chained record (C14).

The whole machine (rules C1, C2, C15, C16; docs/CONTRACT.md shows the same table):

1. UNASKED: can be granted or refused; dismissing changes nothing.
2. GRANTED: can be withdrawn. It turns STALE by itself when the notice's meaning changes or the
   consent expires.
3. STALE: can be granted or refused; dismissing changes nothing.
4. REFUSED and WITHDRAWN: can be granted.

Every other pair is refused and changes nothing. A record that cannot be read, or whose chain is
broken, means no.
"""

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import Enum

from agent import __version__
from agent.clock import Clock
from agent.consent.mark import Mark
from agent.errors import UserActionError
from agent.status import ConsentState
from agent.store.chain import Chain
from agent.store.database import Database


class Act(Enum):
    """A person's act; the value is what the record stores."""

    GRANT = "granted"
    REFUSE = "refused"
    DISMISS = "dismissed"
    WITHDRAW = "withdrawn"


TRANSITIONS = {
    (ConsentState.UNASKED, Act.GRANT): ConsentState.GRANTED,
    (ConsentState.UNASKED, Act.REFUSE): ConsentState.REFUSED,
    (ConsentState.UNASKED, Act.DISMISS): ConsentState.UNASKED,
    (ConsentState.GRANTED, Act.WITHDRAW): ConsentState.WITHDRAWN,
    (ConsentState.STALE, Act.GRANT): ConsentState.GRANTED,
    (ConsentState.STALE, Act.REFUSE): ConsentState.REFUSED,
    (ConsentState.STALE, Act.DISMISS): ConsentState.STALE,
    (ConsentState.REFUSED, Act.GRANT): ConsentState.GRANTED,
    (ConsentState.WITHDRAWN, Act.GRANT): ConsentState.GRANTED,
}


@dataclass(frozen=True)
class Evidence:
    """What the person saw, and where."""

    notice_id: str
    text_sha256: str
    locale: str
    surface: str
    """Where the person decided: "window", "cli", "demo"…"""


@dataclass(frozen=True)
class ConsentEntry:
    """One row of the record. It identifies neither the person nor the computer."""

    purpose: str
    decision: str
    state: str
    """The state that the decision led to."""
    notice_id: str
    text_sha256: str
    locale: str
    surface: str
    app_version: str
    at: int
    """Seconds since the epoch."""
    policy_origin: str
    """Name of the policy file in force at the time, or empty."""


@dataclass(frozen=True)
class ConsentStatus:
    """The state of consent now."""

    state: ConsentState
    entry: ConsentEntry | None
    """The last decision; a dismissal is not one."""
    refresh_at: int | None
    """When consent expires, in seconds since the epoch."""


class Record:
    """Stores decisions about one purpose."""

    def __init__(self, database: Database, clock: Clock, mark: Mark | None = None) -> None:
        """`mark` says whether consent was withdrawn without this record (None: never)."""
        self._mark = mark
        self._database = database
        self._chain = Chain(database, "consent")
        self._clock = clock
        self._decided: ConsentEntry | None = None
        self.reload()

    def reload(self) -> None:
        """Read and verify the whole chain again. `fault` remembers a broken one, which means no."""
        self.fault: UserActionError | None = None
        self._decided = None
        try:
            entries = [ConsentEntry(**body) for body in self._chain.verified()]
        except UserActionError as error:
            self.fault = error
            return
        self._decided = next(
            (entry for entry in reversed(entries) if entry.decision != Act.DISMISS.value), None
        )

    def entries(self) -> list[ConsentEntry]:
        """Return every row. Raises UserActionError CHAIN_BROKEN."""
        return [ConsentEntry(**body) for body in self._chain.verified()]

    def consent_status(self, current_notice_id: str, refresh_months: int) -> ConsentStatus:
        """Return the state of consent under the given notice."""
        if self._decided is None:
            return ConsentStatus(ConsentState.UNASKED, None, None)
        state = ConsentState(self._decided.state)
        if state is not ConsentState.GRANTED:
            return ConsentStatus(state, self._decided, None)
        refresh_at = add_months(self._decided.at, refresh_months)
        if self.is_behind:
            return ConsentStatus(ConsentState.WITHDRAWN, self._decided, None)
        is_stale = self._decided.notice_id != current_notice_id or self._clock.now() >= refresh_at
        return ConsentStatus(ConsentState.STALE if is_stale else state, self._decided, refresh_at)

    def act(
        self,
        consent_status: ConsentStatus,
        act: Act,
        evidence: Evidence,
        purpose: str,
        policy_origin: str,
    ) -> None:
        """Record a decision.

        Raises UserActionError CONSENT_STATE for a pair that the machine does not allow, and
        CHAIN_BROKEN.
        """
        if self.fault is not None:
            raise self.fault
        following = TRANSITIONS.get((consent_status.state, act))
        if following is None:
            raise UserActionError(
                "CONSENT_STATE",
                f"Consent is {consent_status.state.value}; it cannot be {act.value} now.",
                "Nothing was changed. See aegis consent show.",
            )
        if act is Act.GRANT:
            self.catch_up()
        entry = ConsentEntry(
            purpose=purpose,
            decision=act.value,
            state=following.value,
            app_version=__version__,
            at=self._clock.now(),
            policy_origin=policy_origin,
            **asdict(evidence),
        )
        self._append(entry)

    @property
    def is_behind(self) -> bool:
        """Whether the mark knows of a withdrawal that is not in the record."""
        return self._mark is not None and self._mark.is_there()

    def catch_up(self) -> bool:
        """Write a withdrawal into the record that only the mark knows yet.

        Returns whether there was one. Raises OSError, UserActionError DISK_FULL and the like.
        """
        if self._mark is None or not self.is_behind:
            return False
        granted = self._decided
        is_granted = granted is not None and granted.state == ConsentState.GRANTED.value
        if granted is not None and is_granted:
            self._append(
                replace(
                    granted,
                    decision=Act.WITHDRAW.value,
                    state=ConsentState.WITHDRAWN.value,
                    surface="cli",
                    app_version=__version__,
                    at=self._clock.now(),
                )
            )
        self._mark.clear()
        return is_granted

    def _append(self, entry: ConsentEntry) -> None:
        with self._database.transaction():
            self._chain.append(asdict(entry))
        if entry.decision != Act.DISMISS.value:
            self._decided = entry


def add_months(seconds: int, months: int) -> int:
    """Return the same day `months` later, or the last day of that month, in UTC."""
    start = datetime.fromtimestamp(seconds, UTC)
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    for day in (start.day, 30, 29, 28):
        try:
            return int(start.replace(year=year, month=month + 1, day=day).timestamp())
        except ValueError:
            continue
    raise AssertionError("every month has 28 days")
