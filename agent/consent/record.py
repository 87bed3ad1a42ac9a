"""The consent state machine and its append-only, hash-chained record (C14).

The whole machine (rules C1, C2, C15, C16; docs/CONTRACT.md shows the same table):

1. UNASKED: can be granted or refused; dismissing changes nothing.
2. GRANTED: can be withdrawn. It turns STALE by itself when the notice's meaning changes or the
   consent expires.
3. STALE: can be granted or refused; dismissing changes nothing.
4. REFUSED and WITHDRAWN: can be granted.

Every other pair is refused and changes nothing. A record that cannot be read, or whose chain is
broken, means no. So does a switch that is not on (agent.consent.switch), and a mark
(agent.consent.mark). A withdrawal acts in memory first, then turns the switch off in place, and
comes into the record as soon as the disk allows it. `_effective` alone combines them.

A source of samples is a purpose of its own, on or off. Its yes belongs to the yes to the notice
that stood when it was given, and ends with that one.
"""

import logging
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from agent import __version__
from agent.clock import Clock
from agent.consent.mark import Mark
from agent.consent.switch import Switch
from agent.errors import AegisError, UserActionError
from agent.files.disk_errors import explained
from agent.status import ConsentState
from agent.store.chain import Chain
from agent.store.database import Database, damaged
from agent.store.shapes import record

log = logging.getLogger(__name__)


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
    expired_by: int | None = None
    """The time of this computer's clock by which it has expired; None where it has not."""


SOURCE_PURPOSE = "samples."
"""What the purpose of a source of samples begins with; its name follows."""


class Record:
    """Stores decisions about the notice, and about the sources of samples under it."""

    def __init__(self, database: Database, clock: Clock, switch: Switch, mark: Mark) -> None:
        self._database = database
        self._chain = Chain(database, "consent")
        self._clock = clock
        self._switch = switch
        self._mark = mark
        self.reload()

    def reload(self) -> None:
        """Read and verify the whole chain again. `fault` remembers a broken one, which means no."""
        self.fault: UserActionError | None = None
        self._decided: ConsentEntry | None = None
        self._decided_hash = ""
        self._sources: dict[str, ConsentEntry] = {}
        """The last decision about each source under the present yes, by purpose."""
        self._withdrawn: tuple[int, str] | None = None
        """When and where a person withdrew, until the record says so."""
        try:
            entries = self.entries()
        except UserActionError as error:
            self.fault = error
            return
        for entry, digest in zip(entries, self._chain.hashes(), strict=True):
            self._remember(entry, digest)

    def entries(self) -> list[ConsentEntry]:
        """Return every row. Raises UserActionError CHAIN_BROKEN, STORE_DAMAGED."""
        return [_entry(body) for body in self._chain.verified()]

    def consent_status(self, current_notice_id: str, refresh_months: int) -> ConsentStatus:
        """Return the state of consent under the given notice."""
        decided = self._effective()
        if decided is None:
            return ConsentStatus(ConsentState.UNASKED, None, None)
        state = ConsentState(decided.state)
        if state is not ConsentState.GRANTED:
            return ConsentStatus(state, decided, None)
        refresh_at = add_months(decided.at, refresh_months)
        now = self._clock.now()
        if decided.notice_id != current_notice_id:
            return ConsentStatus(ConsentState.STALE, decided, refresh_at)
        if now >= refresh_at:
            return ConsentStatus(ConsentState.STALE, decided, refresh_at, expired_by=now)
        return ConsentStatus(state, decided, refresh_at)

    def act(
        self,
        consent_status: ConsentStatus,
        act: Act,
        evidence: Evidence,
        purpose: str,
        policy_origin: str,
    ) -> None:
        """Record a decision.

        Raises UserActionError CONSENT_STATE for a pair that the machine does not allow,
        CHAIN_BROKEN, and DISK_FULL and the like: then a yes has not become one.
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
        self._append(
            ConsentEntry(
                purpose=purpose,
                decision=act.value,
                state=following.value,
                app_version=__version__,
                at=self._clock.now(),
                policy_origin=policy_origin,
                **asdict(evidence),
            )
        )

    def decide_source(
        self, name: str, evidence: Evidence, policy_origin: str, *, is_on: bool
    ) -> None:
        """Record a decision about a source; the evidence has the digest of what it was said to do.

        Raises UserActionError CHAIN_BROKEN, and DISK_FULL and the like: then nothing has changed.
        """
        if self.fault is not None:
            raise self.fault
        state = ConsentState.GRANTED if is_on else ConsentState.WITHDRAWN
        entry = ConsentEntry(
            purpose=SOURCE_PURPOSE + name,
            decision=(Act.GRANT if is_on else Act.WITHDRAW).value,
            state=state.value,
            app_version=__version__,
            at=self._clock.now(),
            policy_origin=policy_origin,
            **asdict(evidence),
        )
        with self._database.transaction():
            self._chain.append(asdict(entry))
        self._remember(entry, "")

    def has_source(self, name: str, text_sha256: str) -> bool:
        """Whether the person switched a source on, by just this text, under the present yes.

        It does not say that this yes still stands: the gate does.
        """
        entry = self._sources.get(SOURCE_PURPOSE + name)
        return (
            self.fault is None
            and entry is not None
            and entry.state == ConsentState.GRANTED.value
            and entry.text_sha256 == text_sha256
        )

    def withdraw(self, surface: str) -> bool:
        """Withdraw: at once in memory, then durably without the database.

        Works in every state. Returns whether a restart will remember it; False: repeat it once the
        disk can be written.
        """
        now = self._clock.now()
        self._withdrawn = self._withdrawn or (now, surface)
        try:
            self._switch.turn_off(now, surface)
        except OSError as error:
            log.warning("consent.not_saved error=%s", error.strerror)
            if not self._mark.leave():
                self._mark.leave_elsewhere()
            return False
        return True

    def catch_up(self) -> bool:
        """Write a withdrawal into the record that only the switch, a mark or memory knows yet.

        Returns whether there was one. Raises UserActionError DISK_FULL and the like.
        """
        is_behind, known = self.is_behind, self._known_withdrawal()
        if is_behind and self._decided is not None and known is not None:
            self._append(_withdrawn(self._decided, *known))
        try:
            self._mark.clear()
        except OSError as error:
            raise explained(error) from error
        return is_behind

    def forget(self) -> None:
        """Remove what is not in the database, for an erasure. Raises OSError."""
        self._switch.clear()
        self._mark.clear()

    def _effective(self) -> ConsentEntry | None:
        """Return the last decision. A yes counts only while the switch is on for it."""
        decided = self._decided
        if decided is None or decided.state != ConsentState.GRANTED.value:
            return decided
        is_on = self._switch.is_on(self._decided_hash) and not self._mark.is_there()
        if self._withdrawn is None and is_on:
            return decided
        return _withdrawn(decided, *(self._known_withdrawal() or (decided.at, decided.surface)))

    @property
    def is_behind(self) -> bool:
        """Whether the record does not know of a withdrawal yet."""
        decided = self._decided
        return (
            decided is not None
            and decided.state == ConsentState.GRANTED.value
            and self._known_withdrawal() is not None
        )

    def _known_withdrawal(self) -> tuple[int, str] | None:
        """Return when and where a person withdrew what the record still grants, if they did."""
        position = self._switch.position()
        if position is not None and not position.is_on and position.entry == self._decided_hash:
            return position.at, position.surface
        if self._withdrawn is None and self._mark.is_there():
            return self._clock.now(), self._mark.surface()
        return self._withdrawn

    def _append(self, entry: ConsentEntry) -> None:
        """Add a row; a yes together with its switch."""
        before = self._switch.position()
        try:
            with self._database.transaction():
                self._chain.append(asdict(entry))
                digest = self._chain.hashes()[-1]
                if entry.state == ConsentState.GRANTED.value:
                    self._switch.turn_on(digest, entry.at, entry.surface)
        except AegisError:
            self._switch.put_back(before)
            raise
        except OSError as error:
            raise explained(error) from error
        self._remember(entry, digest)
        if entry.decision != Act.DISMISS.value:
            self._withdrawn = None

    def _remember(self, entry: ConsentEntry, digest: str) -> None:
        """Take a row of the record into account; `digest` is its hash."""
        if entry.purpose.startswith(SOURCE_PURPOSE):
            self._sources[entry.purpose] = entry
        elif entry.decision != Act.DISMISS.value:
            self._decided, self._decided_hash, self._sources = entry, digest, {}


def _withdrawn(granted: ConsentEntry, at: int, surface: str) -> ConsentEntry:
    """Return the row that withdraws `granted`."""
    state = ConsentState.WITHDRAWN.value
    return replace(granted, decision=Act.WITHDRAW.value, state=state, at=at, surface=surface)


def _entry(body: dict[str, Any]) -> ConsentEntry:
    """Read a row. Raises UserActionError STORE_DAMAGED."""
    entry = record(ConsentEntry, body, "consent")
    try:
        ConsentState(entry.state)
        add_months(entry.at, 0)
    except (ValueError, OverflowError, OSError) as error:
        raise damaged(f"consent: {error}") from error
    return entry


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
