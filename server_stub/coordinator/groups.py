"""Runs the join window and the groups of the current round of secure aggregation.

1. A message and everything that follows from it are stored in one transaction before the message is
   answered.
2. After a crash, or when a transaction fails, the round is rebuilt by replaying the stored events.
3. Every method is called from a job of the `SerialExecutor`.
"""

import contextlib
import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from agent.errors import AegisError, PeerError
from agent.protocol.ledger_heads import HeadStep
from agent.protocol.messages import Mode, RoundConfig
from server_stub.config.settings import ServerSettings
from server_stub.errors import BusyError
from server_stub.quarantine.evidence import Proof
from server_stub.rounds.event_log import ENDED, ReplayableRound, RoundEvent, Witness, opening
from server_stub.rounds.join_window import (
    GroupPlan,
    Invited,
    ReadyPool,
    invite,
    is_enough,
    plan_groups,
    poll_s,
)
from server_stub.rounds.lifecycle import State, joining
from server_stub.storage.records import Round
from server_stub.storage.round_events import RoundTransaction
from server_stub.storage.store import Store

REVOCATIONS_S = 10
"""Maximum age of the revocation list in an offer."""
LOG = logging.getLogger("aegisai.rounds")
OUTCOMES = ("close", "advance", "leave", "drop", "complaint")
"""Events after which an inbox may have something new, or never will."""


class GroupCoordinator:
    """The join windows and groups of one aggregator."""

    def __init__(
        self,
        store: Store,
        settings: ServerSettings,
        ca_pem: str,
        revocations: Callable[[], str],
        witness: Witness,
        changed: Callable[[], None],
        enough: Callable[[], None],
    ) -> None:
        """`revocations` returns the authority's current revocation list. `changed` is called when
        an inbox may have something new, `enough` when enough devices have become ready for a
        window.
        """
        self._store = store
        self._events = store.round_events
        self._settings = settings
        self._ca_pem = ca_pem
        self._revocations = revocations
        self._witness = witness
        self._changed = changed
        self._enough = enough
        self._pool = ReadyPool()
        self._model_version = 0
        self._crl: tuple[int, str] = (0, "")
        """When the revocation list was fetched, and the list."""
        self._live: ReplayableRound | None = None

    # Answers to devices

    def ready(
        self, device_id: str, trained: int | None, model_version: int, now: int, *, is_ready: bool
    ) -> int:
        """Note whether a device is ready, and return the seconds until its next poll.

        `trained`: the version of the model that it has trained, where it says so.
        """
        # The devices that were ready have trained the previous model.
        if model_version != self._model_version:
            self._pool.clear()
            self._model_version = model_version
        is_ready = is_ready and trained in (None, model_version)
        opens, _ = self.window(device_id, now)
        next_s = poll_s(
            self._settings.rounds,
            self._settings.next_poll_s,
            is_ready=is_ready,
            opens=opens,
            now=now,
            draw=secrets.randbelow(1 << 20) / (1 << 20),
        )
        if is_ready:
            # Wake the driver at the device that makes them enough, not again at every later poll.
            before = self.expected(now)
            self._pool.add(device_id, now, next_s)
            if not before and self.expected(now):
                self._enough()
        else:
            self._pool.remove(device_id)
        return next_s

    def window(self, device_id: str, now: int) -> tuple[int, int]:
        """When the join window that is announced to a device opens and closes, in seconds since the
        epoch; 0, 0 for none.
        """
        live = self._live
        if live is None or live.groups is not None or now >= joining(live.config)[1]:
            return 0, 0
        if device_id in live.sitting_out:
            return 0, 0
        return joining(live.config)

    def refresh_revocations(self, now: int) -> None:
        """Fetch the authority's revocation list, unless the last one is recent enough for an
        offer.
        """
        fetched_at, pem = self._crl
        if not pem or not 0 <= now - fetched_at < REVOCATIONS_S:
            # While the authority cannot be reached, the last list serves: it is signed and dated.
            with contextlib.suppress(AegisError):
                self._crl = (now, self._revocations())

    def crl_pem(self) -> str:
        """The authority's revocation list. Raises BusyError CA_UNREACHABLE while none is known."""
        if not self._crl[1]:
            raise BusyError("CA_UNREACHABLE", "The enrolment authority does not answer.", 10)
        return self._crl[1]

    def inbox(
        self, round_id: int, after: str, device_id: str, dealer: int | None = None
    ) -> bytes | None:
        """The outcome of a phase for a device, or what a dealer signed; None while it is not known.

        Raises PeerError ROUND_CLOSED, NOT_IN_GROUP, BAD_MESSAGE.
        """
        live = self._at(round_id)
        if dealer is None:
            return live.inbox(after, device_id)
        if after != "shares":
            raise PeerError("BAD_MESSAGE", "Dealers sign only shares.", "Nothing was changed.")
        return live.dealing(device_id, dealer)

    # Progress of the round

    def expected(self, now: int) -> int:
        """How many devices a window would be announced for now; 0 when too few are ready."""
        ready = len(self._pool.devices(now))
        return ready if is_enough(ready, self._settings.rounds) else 0

    def plan(self, expected: int) -> GroupPlan:
        """Group sizes for the next round."""
        return plan_groups(expected, self._settings.rounds)

    def invite(self, before: Round | None, now: int) -> Invited:
        """The ready devices that join the next round; after a failure that nobody can be blamed
        for, some sit it out. `before`: the round before it.
        """
        ready = self._pool.devices(now)
        if before is None or not before.failed_without_proof or not before.record.get("groups"):
            return Invited(ready)
        return invite(ready, self._settings.rounds.min_group, secrets.randbelow)

    def announce(self, config: RoundConfig, planned: GroupPlan, invited: Invited, now: int) -> None:
        """Open a round and announce its window.

        Raises Busy CA_UNREACHABLE, PeerError where the revocation list is not acceptable.
        """
        event = opening(self.crl_pem(), planned.capacity, invited, now)
        # Before the transaction: a round that cannot be built must not be stored either.
        live = ReplayableRound(config, self._ca_pem, [event])
        with self._events.transaction() as work:
            work.open(config, len(invited.joining))
            work.add(config.round_id, [event])
        # After it: a round whose transaction failed must not live on in memory.
        self._live = live

    def resume(self, current: Round) -> ReplayableRound:
        """The current round, rebuilt from its stored events where it is not in memory."""
        if self._live is None or self._live.config.round_id != current.round_id:
            self._live = live = ReplayableRound(
                current.config, self._ca_pem, self._events.events(current.round_id)
            )
            if live.groups is None:
                # The pool was lost with the process. An empty one would close the window at once,
                # because every ready device (none) has advertised.
                self._model_version = current.config.model_version
                self._pool.restore(live.expected, joining(current.config)[1])
        return self._live

    def settle(self, ended: Round) -> None:
        """Note that a round has ended.

        A round that ran to its end stays in memory, for devices that still fetch its outcome; one
        that was broken off does not.
        """
        if (
            self._live is not None
            and not self._live.is_over
            and self._live.config.round_id == ended.round_id
        ):
            self._live = None
            self._changed()

    def receive(self, kind: str, round_id: int, device_id: str, body: bytes, now: int) -> None:
        """Accept a message of a phase. Raises PeerError."""
        with self._change(round_id, now) as change:
            # After its end a round stores nothing more, and answers repeats from memory.
            if not change.live.is_over:
                change.work.require_open(round_id, device_id)
            change.receive(kind, device_id, body)
            if kind == "leave":
                self._pool.remove(device_id)

    def receive_masked(
        self,
        round_id: int,
        device_id: str,
        body: bytes,
        sha256: str,
        receipt: str,
        now: int,
        step: HeadStep | None = None,
    ) -> None:
        """Accept a device's only masked input for a round, with its receipt, and move the head of
        its ledger. Raises PeerError.
        """
        with self._change(round_id, now) as change:
            change.work.require_open(round_id, device_id)
            change.work.advance_head(device_id, step)
            change.receive("masked", device_id, body)
            change.work.add_receipt(
                round_id, device_id, body_sha256=sha256, size=len(body), receipt=receipt, now=now
            )

    def drop(self, device_id: str, now: int) -> None:
        """Continue without a device that was revoked, erased or excluded."""
        self._pool.remove(device_id)
        live = self._live
        if live is not None and not live.is_over and device_id in live.devices:
            with self._change(live.config.round_id, now) as change:
                change.drop(device_id)

    def tick(self, current: Round, now: int) -> bool:
        """Close the window and the phases that are due, and drop devices that were revoked or
        erased by another process.

        Returns whether the round is over.
        """
        live = self.resume(current)
        # `aegis-server devices revoke` writes the database, not this process's memory.
        gone = [] if live.is_over else self._events.ineligible(live.devices)
        if gone or self._is_due(live, now):
            with self._change(current.round_id, now) as change:
                for device_id in gone:
                    change.drop(device_id)
        return live.is_over

    @contextmanager
    def _change(self, round_id: int, now: int) -> "Iterator[_Change]":
        """One transaction on the current round. It includes what the change brings about at once,
        such as the next phase.
        """
        live = self._at(round_id)
        change = _Change(live, now)
        try:
            with self._events.transaction() as change.work:
                yield change
                if self._is_due(live, now) and live.groups is None:
                    change.close(self._witness, self._pool)
                change.events += live.advance(now)
                change.store()
        except BaseException:
            if change.events:  # memory is ahead of the database: rebuild from there
                self._live = None
            elif change.fault is not None:
                # The refused message is rolled back; the fault that it shows must survive.
                change.events = [] if live.is_over else [change.fault]
                self._live = None  # if this fails as well, the fault must be found again
                with self._events.transaction() as change.work:
                    change.store()
                self._live = live
                self._exclude(change)
            raise
        self._exclude(change)
        if any(event.kind in OUTCOMES for event in change.events):
            self._changed()

    def _exclude(self, change: "_Change") -> None:
        for device_id, proof in change.new_proofs().items():
            self._pool.remove(device_id)
            LOG.warning("round.proof device=%s code=%s", device_id, proof.verdict.code)

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
        """Whether the window, or the phase of a group, ends now without another message."""
        if live.groups is None:
            is_complete = (
                len(live.devices) >= live.config.min_group
                and self._pool.devices(now) - live.sitting_out <= live.devices
            )
            return now >= joining(live.config)[1] or live.is_full or is_complete
        return any(now >= group.deadline for group in live.groups if group.state not in ENDED)


class _Change:
    """What one transaction does to the current round."""

    work: RoundTransaction

    def __init__(self, live: ReplayableRound, now: int) -> None:
        self.live = live
        self.events: list[RoundEvent] = []
        """To be stored, in order."""
        self.fault: RoundEvent | None = None
        """Shown by a message that was refused."""
        self._now = now
        self._known = frozenset(live.proofs)

    def receive(self, kind: str, device_id: str, body: bytes) -> None:
        """Accept a message; a fault that it proves is stored even though it is refused."""
        before = self._fault_of(device_id)
        try:
            self.events += self.live.receive(kind, device_id, body, self._now)
        except PeerError:
            if self._fault_of(device_id) != before:
                self.fault = self.live.record_fault(device_id, self._now)
            raise
        if kind == "leave":
            self._withdraw_input(device_id)

    def close(self, witness: Witness, pool: ReadyPool) -> None:
        """End the window and draw the groups; at the next change where the witness is away."""
        try:
            self.events += self.live.close(self._now, witness)
        except AegisError as error:
            LOG.warning("round.no_witness id=%d code=%s", self.live.config.round_id, error.code)
            return
        for device_id in self.live.devices:
            pool.remove(device_id)

    def _fault_of(self, device_id: str) -> tuple[str, bool]:
        """A device's fault, and whether there is a proof."""
        return self.live.fault_of(device_id), device_id in self.live.proofs

    def new_proofs(self) -> dict[str, Proof]:
        """The proofs that this change brought about, by the device at fault."""
        proofs = self.live.proofs
        return {device_id: proofs[device_id] for device_id in proofs.keys() - self._known}

    def store(self) -> None:
        """Store the events and the proofs, within `work`."""
        round_id = self.live.config.round_id
        self.work.add(round_id, self.events)
        for proof in self.new_proofs().values():
            self.work.add_proof(round_id, proof, self._now)

    def drop(self, device_id: str) -> None:
        self.events += self.live.drop(device_id, self._now)
        self._withdraw_input(device_id)

    def _withdraw_input(self, device_id: str) -> None:
        if self.live.is_input_open(device_id):
            self.work.delete_input(self.live.config.round_id, device_id)
