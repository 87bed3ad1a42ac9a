"""Holds the join window and the groups of the present round: takes messages, keeps each with its
effect in one transaction before it is answered, and rebuilds the round after a crash by playing
what was kept. Call with the turn (`executor`).
"""

import contextlib
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from agent.errors import AegisError, PeerError
from agent.protocol.messages import Mode, RoundConfig
from server_stub.config.settings import ServerSettings
from server_stub.errors import BusyError
from server_stub.rounds.event_log import ENDED, ReplayableRound, RoundEvent, opening
from server_stub.rounds.join_window import GroupPlan, ReadyPool, enough, grouping, poll_s
from server_stub.rounds.lifecycle import State, joining
from server_stub.storage.records import Round
from server_stub.storage.round_events import RoundTransaction
from server_stub.storage.store import Store

REVOCATIONS_S = 10
"""How old the revocation list in an offer may be."""


OUTCOMES = ("close", "advance", "leave", "drop")
"""After these an inbox may have something new, or never will."""


class GroupCoordinator:
    """`changed` is told when an inbox may have something new, `enough` when enough devices have
    become ready for a window.
    """

    def __init__(
        self,
        store: Store,
        settings: ServerSettings,
        ca_pem: str,
        revocations: Callable[[], str],
        changed: Callable[[], None],
        enough: Callable[[], None],
    ) -> None:
        self._store = store
        self._events = store.round_events
        self._settings = settings
        self._ca_pem = ca_pem
        self._revocations = revocations
        self._changed = changed
        self._enough = enough
        self._waiting = ReadyPool()
        self._model_version = 0
        self._crl: tuple[int, str] = (0, "")
        self._live: ReplayableRound | None = None

    # What devices are told

    def ready(
        self, device_id: str, trained: int | None, model_version: int, now: int, *, is_ready: bool
    ) -> int:
        """Note whether a device is ready. Returns when it is to ask again, in seconds."""
        if model_version != self._model_version:
            self._waiting.clear()
            self._model_version = model_version
        is_ready = is_ready and trained in (None, model_version)
        opens, _ = self.window(now)
        next_s = poll_s(
            self._settings.rounds,
            self._settings.next_poll_s,
            is_ready=is_ready,
            opens=opens,
            now=now,
            draw=secrets.randbelow(1 << 20) / (1 << 20),
        )
        if is_ready:
            before = self.expected(now)
            self._waiting.say(device_id, now, next_s)
            if not before and self.expected(now):
                self._enough()
        else:
            self._waiting.forget(device_id)
        return next_s

    def window(self, now: int) -> tuple[int, int]:
        """When the announced join window opens and closes; 0, 0 for none."""
        live = self._live
        if live is None or live.groups is not None or now >= joining(live.config)[1]:
            return 0, 0
        return joining(live.config)

    def refresh_revocations(self, now: int) -> None:
        """Ask the authority for its revocation list, unless the one at hand is fresh enough for an
        offer.
        """
        taken, pem = self._crl
        if not pem or not 0 <= now - taken < REVOCATIONS_S:
            with contextlib.suppress(
                AegisError
            ):  # the authority is away: what is known is still signed and dated
                self._crl = (now, self._revocations())

    def crl_pem(self) -> str:
        """The authority's revocation list. Raises BusyError CA_UNREACHABLE while none is known."""
        if not self._crl[1]:
            raise BusyError("CA_UNREACHABLE", "The enrolment authority does not answer.", 10)
        return self._crl[1]

    def inbox(self, round_id: int, after: str, device_id: str) -> bytes | None:
        """What came of a phase for a device; None: not yet."""
        return self._at(round_id).inbox(after, device_id)

    # What happens

    def expected(self, now: int) -> int:
        """How many devices a window would be announced for now; 0: too few."""
        ready = len(self._waiting.present(now))
        return ready if enough(ready, self._settings.rounds) else 0

    def plan(self, expected: int) -> GroupPlan:
        return grouping(expected, self._settings.rounds)

    def announce(self, config: RoundConfig, planned: GroupPlan, expected: int, now: int) -> None:
        """Open the round: its window is announced from now on.

        Raises PeerError where there is no usable revocation list.
        """
        entry = opening(self.crl_pem(), planned.capacity, sorted(self._waiting.present(now)), now)
        live = ReplayableRound(config, self._ca_pem, [entry])
        with self._events.transaction() as work:
            work.open(config, expected)
            work.add(config.round_id, [entry])
        self._live = live

    def resume(self, current: Round) -> ReplayableRound:
        """Be at this round: after a start, or when memory went ahead of the disk."""
        if self._live is None or self._live.config.round_id != current.round_id:
            self._live = live = ReplayableRound(
                current.config, self._ca_pem, self._events.events(current.round_id)
            )
            if live.groups is None:
                self._model_version = current.config.model_version
                self._waiting.expect(live.expected, joining(current.config)[1])
        return self._live

    def settle(self, ended: Round) -> None:
        """The round has ended.

        Its groups' last words are kept for devices that come for them, unless it was broken off.
        """
        if (
            self._live is not None
            and not self._live.is_over
            and self._live.config.round_id == ended.round_id
        ):
            self._live = None
            self._changed()

    def receive(self, kind: str, round_id: int, device_id: str, body: bytes, now: int) -> None:
        """Take a message of a phase. Raises PeerError."""
        with self._change(round_id, now) as change:
            if not change.live.is_over:
                change.work.require_open(round_id, device_id)
            change.take(kind, device_id, body)
            if kind == "leave":
                self._waiting.forget(device_id)

    def receive_masked(
        self, round_id: int, device_id: str, body: bytes, sha256: str, receipt: str, now: int
    ) -> None:
        """Take a device's only masked input for a round. Raises PeerError."""
        with self._change(round_id, now) as change:
            change.work.require_open(round_id, device_id)
            change.take("masked", device_id, body)
            change.work.add_receipt(
                round_id, device_id, body_sha256=sha256, size=len(body), receipt=receipt, now=now
            )

    def drop(self, device_id: str, now: int) -> None:
        """A device was revoked or erased."""
        self._waiting.forget(device_id)
        live = self._live
        if live is not None and not live.is_over and device_id in live.devices:
            with self._change(live.config.round_id, now) as change:
                change.drop(device_id)

    def tick(self, current: Round, now: int) -> bool:
        """Close the window and the phases whose time has come, drop who was revoked.

        Says whether the round is over.
        """
        live = self.resume(current)
        gone = [] if live.is_over else self._events.ineligible(live.devices)
        if gone or self._is_due(live, now):
            with self._change(current.round_id, now) as change:
                for device_id in gone:
                    change.drop(device_id)
        return live.is_over

    @contextmanager
    def _change(self, round_id: int, now: int) -> "Iterator[_Change]":
        """One transaction on the present round.

        What follows from a change at once (the next phase) is part of it.
        """
        live = self._at(round_id)
        change = _Change(live, now)
        try:
            with self._events.transaction() as change.work:
                yield change
                if self._is_due(live, now) and live.groups is None:
                    change.entries += live.close(now)
                    for device_id in live.devices:
                        self._waiting.forget(device_id)
                change.entries += live.advance(now)
                change.work.add(round_id, change.entries)
        except BaseException:
            if change.entries:  # memory went ahead of the disk
                self._live = None
            elif change.blame is not None:
                with self._events.transaction() as work:
                    work.add(round_id, [change.blame])
            raise
        if any(entry.kind in OUTCOMES for entry in change.entries):
            self._changed()

    def _at(self, round_id: int) -> ReplayableRound:
        if self._live is None:
            current = self._store.rounds.get(round_id)
            if (
                current is not None
                and current.state is State.OPEN
                and current.config.mode is Mode.SECAGG
            ):
                self.resume(current)
        if self._live is None or self._live.config.round_id != round_id:
            raise PeerError("ROUND_CLOSED", "The round is not open.", "Take part in a later one.")
        return self._live

    def _is_due(self, live: ReplayableRound, now: int) -> bool:
        """Whether something is to be done although nobody says anything."""
        if live.groups is None:
            everybody = (
                len(live.devices) >= live.config.min_group
                and self._waiting.present(now) <= live.devices
            )
            return now >= joining(live.config)[1] or live.is_full or everybody
        return any(now >= group.deadline for group in live.groups if group.state not in ENDED)


class _Change:
    """What a transaction does to the present round."""

    work: RoundTransaction

    def __init__(self, live: ReplayableRound, now: int) -> None:
        self.live = live
        self.entries: list[RoundEvent] = []
        self.blame: RoundEvent | None = None
        self._now = now

    def take(self, kind: str, device_id: str, body: bytes) -> None:
        before = self.live.blamed(device_id)
        try:
            self.entries += self.live.receive(kind, device_id, body, self._now)
        except PeerError:
            if self.live.blamed(device_id) != before:
                self.blame = self.live.blame(device_id, self._now)
            raise
        if kind == "leave":
            self._take_back(device_id)

    def drop(self, device_id: str) -> None:
        self.entries += self.live.drop(device_id, self._now)
        self._take_back(device_id)

    def _take_back(self, device_id: str) -> None:
        if self.live.is_input_open(device_id):
            self.work.delete_input(self.live.config.round_id, device_id)
