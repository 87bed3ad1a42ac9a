"""One group of GroupSecAgg/2 at the aggregator, from its roster to its sum. Sans-IO and
deterministic: messages and times go in, answers and a result come out.

How to use it:

    join = JoinPhase(config, ca_pem, now)       the join window
    join.advertise(device_id, body)             POST …/advertise: answer 202; the same body again is
                                                accepted, a different one is 409
    groups = join.close(now, witnessed)         draws the groups: a list of GroupRound;
                                                `join.left_out`: devices in no group (answer 410)

    group.receive(kind, device_id, body)        POST …/{shares|complaint|consistency|unmask|leave}
                                                and the masked input of POST /updates
    group.drop(device_id)                       the device was revoked or erased: as if it had left
                                                (`join.drop` before the groups are drawn)
    group.advance(now)                          after each message and at `group.deadline`; True
                                                when the phase changed
    group.inbox(after, device_id)               GET
                                                …/inbox?after=advertise|shares|masked|consistency:
                                                bytes, or None for "not yet" (204)
    group.dealing(device_id, dealer)            GET …/inbox?after=shares&dealer=: what this dealer
                                                signed
    group.proofs                                who is at fault, with the evidence
    group.result, group.failure                 a GroupSum in state DONE, a GroupFailure in state
                                                ABORTED

`device_id` is the one in the request's certificate. The state follows from the sequence of calls
alone. To survive a crash, store each accepted body, and each `advance` that returned True with its
`now`, in one transaction, and replay them into a new object. The code of a PeerError decides the
answer: ROUND_CLOSED 410, ALREADY_CONTRIBUTED 409, NOT_IN_GROUP 403, all others 422.

What it enforces:

1. One message of each kind from each device.
2. Inputs only until the survivors are fixed; never fewer of them than the configuration's minimum.
3. Each share against its commitment on arrival: a false one is refused and its sender at fault.
4. Each opened secret against what its dealer published: a false one is the dealer's fault.
5. Each complaint: it proves a fault of the dealer or of the accuser. Both leave the group; nothing
   else of them is opened for it.

A group that fails costs no other group anything.
"""

from contextlib import suppress
from dataclasses import dataclass

from agent.errors import PeerError
from agent.protocol import codec
from agent.protocol.identities import verify_signature
from agent.protocol.states import GROUP, GroupAction, GroupEvent, GroupState, step
from server_stub.quarantine.evidence import Proof
from server_stub.secagg import evidence
from server_stub.secagg.contributions import Contributions, SenderFaultError
from server_stub.secagg.drawn_group import DrawnGroup
from server_stub.secagg.message_log import MessageLog
from server_stub.secagg.opening import GroupSum, givers, open_sum
from server_stub.secagg.refusals import not_in_group, round_closed
from server_stub.secagg.unmasking import FalseDealersError

LEAVE = "leave"
COMPLAINT = "complaint"
CONSISTENCY = "consistency"
ACCEPTED_IN = {
    "shares": (GroupState.SHARING,),
    "masked": (GroupState.MASKING,),
    # A late signature changes nothing, but its sender did nothing wrong.
    CONSISTENCY: (GroupState.AGREEING, GroupState.OPENING, GroupState.DONE),
    # From a device that was slow to look; it has masked nothing.
    COMPLAINT: (GroupState.MASKING, GroupState.AGREEING, GroupState.OPENING),
    "unmask": (GroupState.OPENING, GroupState.DONE),
    LEAVE: tuple(GroupState),
}
"""The states in which a message of each kind is accepted."""
PHASES = (
    GroupState.SHARING,
    GroupState.MASKING,
    GroupState.AGREEING,
    GroupState.OPENING,
    GroupState.DONE,
)
"""The states of a group in which nothing fails, in order."""
INBOX_FROM = {
    "advertise": GroupState.SHARING,
    "shares": GroupState.MASKING,
    "masked": GroupState.AGREEING,
    "consistency": GroupState.OPENING,
}
"""The state from which on the outcome of each phase is known."""


@dataclass(frozen=True)
class GroupFailure:
    """A group that ended without a sum."""

    phase: GroupState
    reason: str
    at_fault: tuple[str, ...]
    """Ids of the devices in `faults`."""


class GroupRound:
    """The state machine of one group."""

    def __init__(self, drawn: DrawnGroup, now: int) -> None:
        self.drawn = drawn
        self.contributions = Contributions(drawn)
        self._log = MessageLog()
        self._departed: set[int] = set()
        self.state = GroupState.SHARING
        self.deadline = now + drawn.config.phase_s
        self.faults: dict[str, str] = {}
        """The code of each device's first fault, by device id. Those in `proofs` are proven. The
        others were seen here and cannot be shown to anybody else."""
        self.proofs: dict[str, Proof] = {}
        """By the id of the device at fault."""
        self.result: GroupSum | None = None
        self.failure: GroupFailure | None = None

    @property
    def devices(self) -> tuple[str, ...]:
        return self.drawn.device_ids

    @property
    def proven(self) -> dict[str, str]:
        """The faults for which there is a proof: code by device id."""
        return {device_id: self.proofs[device_id].verdict.code for device_id in sorted(self.proofs)}

    def counts(self) -> dict[str, int]:
        """Devices per phase; the difference between two phases is the number that dropped out."""
        return self.contributions.counts()

    def receive(self, kind: str, device_id: str, body: bytes) -> None:
        """Accept a message: "shares", "complaint", "masked", "consistency", "unmask" or "leave".

        Raises PeerError; then nothing has changed but the sender's place in `faults` and `proofs`.
        """
        number = self.drawn.numbers.get(device_id)
        if number is None:
            raise not_in_group("This device is not in this group.")
        if kind not in ACCEPTED_IN:
            raise PeerError("BAD_MESSAGE", "There is no such message.", "Nothing was changed.")
        if number in self._departed and kind != LEAVE:
            raise round_closed("This device has left the group.")
        try:
            # Before the check of the phase: a device whose answer got lost may repeat its message
            # when the phase is already over.
            if self._is_repeat(kind, number, body):
                return
            if self.state not in ACCEPTED_IN[kind]:
                raise round_closed(f"The group is in the phase “{self.state.value}”.")
            self._accept(kind, number, body)
        except SenderFaultError as error:
            self.faults.setdefault(device_id, error.code)
            if error.proof is not None:
                self.convict(error.proof)
            raise
        # Last: a message that was refused does not count, and the device may send a correct one.
        self._log.record(kind, device_id, body)

    def has_received(self, kind: str, device_id: str) -> bool:
        """Whether such a message of this device was accepted."""
        return self._log.has(kind, device_id)

    def convict(self, proof: Proof) -> None:
        """Note a proof. It replaces a fault without one; the first proof against a device stays."""
        device_id = proof.verdict.device_id
        if device_id not in self.proofs:
            self.proofs[device_id] = proof
            self.faults[device_id] = proof.verdict.code

    def drop(self, device_id: str) -> None:
        """Continue without a device that was revoked or erased."""
        self._depart(self.drawn.numbers[device_id])

    def inbox(self, after: str, device_id: str) -> bytes | None:
        """The outcome of a phase for one device; None while it is not known.

        Raises PeerError ROUND_CLOSED when there will be none for this device, BAD_MESSAGE.
        """
        number = self.drawn.numbers.get(device_id)
        if number is None or number in self._departed:
            raise round_closed("This device is not in this group.")
        if after == "advertise":
            return self.drawn.roster_body
        if self.state is GroupState.ABORTED:
            raise round_closed("The group ended without a sum.")
        if after not in INBOX_FROM:
            raise PeerError("BAD_MESSAGE", "There is no such phase.", "Nothing was changed.")
        if PHASES.index(self.state) < PHASES.index(INBOX_FROM[after]):
            return None
        sent = self.contributions
        if number not in (sent.dealers if after == "shares" else sent.survivors):
            raise round_closed("This device was too late for that phase.")
        context = self.drawn.context
        if after == "shares":
            dealings = {dealer: sent.dealings[dealer] for dealer in sent.dealers}
            return codec.encode_inbox(context, number, dealings)
        if after == "masked":
            return codec.encode_survivors(context, sent.survivors)
        return codec.encode_signatures(context, sent.announced_signatures)

    def dealing(self, device_id: str, dealer: int) -> bytes | None:
        """What a dealer signed, for a device that cannot read its shares; None while they are not
        passed on.

        Raises PeerError ROUND_CLOSED, BAD_MESSAGE.
        """
        if self.inbox("shares", device_id) is None:
            return None
        if dealer not in self.contributions.dealers:
            raise PeerError("BAD_MESSAGE", "There is no such dealer.", "Nothing was changed.")
        dealing = self.contributions.dealings[dealer]
        return codec.encode_dealing(self.drawn.context, dealer, dealing)

    def advance(self, now: int) -> bool:
        """End the current phase if every expected device has answered or its deadline has passed.

        Returns whether the phase changed.
        """
        event = self._phase_event(is_late=now >= self.deadline)
        if event is None:
            return False
        phase = self.state
        self.state, action = step(GROUP, self.state, event)
        # From now and not from the last deadline: every phase gets its full time, also when the
        # aggregator was down in between.
        self.deadline = now + self.drawn.config.phase_s
        if action is GroupAction.HAND_SHARES:
            self.contributions.fix_dealers()
        elif action is GroupAction.FIX_SURVIVORS:
            self.contributions.fix_survivors()
        elif action is GroupAction.HAND_SIGNATURES:
            self.contributions.announce_signatures()
        elif action is GroupAction.OPEN_SUM:
            self._open()
        elif action is GroupAction.GIVE_UP:
            self._fail(phase, event)
        return True

    def _phase_event(self, *, is_late: bool) -> GroupEvent | None:
        """How the current phase ends now, if it does."""
        sent, threshold = self.contributions, self.drawn.threshold
        if self.state is GroupState.SHARING:
            count, needed = len(sent.dealings), self.drawn.min_devices
            # Here and below: a device that left is not waited for.
            is_complete = set(range(self.drawn.size)) - self._departed <= sent.dealings.keys()
        elif self.state is GroupState.MASKING:
            count, needed = len(sent.inputs), self.drawn.min_devices
            is_complete = sent.dealers - self._departed <= sent.inputs.keys()
        elif self.state is GroupState.AGREEING:
            # From here on the threshold is all that is needed; waiting for more only costs time.
            count, needed = len(sent.signatures), threshold
            is_complete = count >= threshold
        elif self.state is GroupState.OPENING:
            count, needed = len(sent.shares), threshold
            is_complete = count >= threshold
        else:
            return None
        if not (is_complete or is_late):
            return None
        return GroupEvent.ENOUGH if count >= needed else GroupEvent.TOO_FEW

    def _is_repeat(self, kind: str, number: int, body: bytes) -> bool:
        """Raises PeerError ALREADY_CONTRIBUTED for a second, different message; SenderFaultError
        where the two contradict each other.
        """
        device_id = self.drawn.device_ids[number]
        try:
            return self._log.is_repeat(kind, device_id, body)
        except PeerError:
            if kind == CONSISTENCY:
                other = codec.decode_consistency(body, self.drawn.context)
                self.contributions.require_one_agreement(number, other)
            raise

    def _accept(self, kind: str, number: int, body: bytes) -> None:
        if kind == "shares":
            self.contributions.add_dealing(number, body)
        elif kind == "masked":
            self.contributions.add_input(number, body)
        elif kind == CONSISTENCY:
            self.contributions.add_signature(number, body)
        elif kind == LEAVE:
            codec.decode_leave(body, self.drawn.round_context)
            self._depart(number)
        elif kind == COMPLAINT:
            self._judge(number, body)
        elif self.state is GroupState.OPENING:
            self.contributions.add_shares(number, body)
        else:  # too late to be of use, but a false share is still a fault
            self.contributions.checked_shares(number, body)

    def _judge(self, accuser: int, body: bytes) -> None:
        """Find out for each accusation who lied. Who did, and the accuser, leave the group.

        Raises PeerError BAD_MESSAGE; SenderFaultError COMPLAINT_SIGNATURE.
        """
        group, sent = self.drawn, self.contributions
        complaint = codec.decode_complaint(body, group.context, accuser, group.size)
        if not sent.dealers >= {accuser, *(one.dealer for one in complaint.accusations)}:
            raise PeerError("BAD_MESSAGE", "The complaint names no dealer.", "Nothing was changed.")
        statement = codec.complaint_statement(group.context, complaint)
        if not verify_signature(group.keys[accuser], complaint.signature, statement):
            raise SenderFaultError("COMPLAINT_SIGNATURE", "The complaint is not signed.")
        self._depart(accuser)
        for dealer in (one.dealer for one in complaint.accusations):
            # A complaint costs time to judge: one proof against a device is enough.
            if group.device_ids[dealer] in self.proofs:
                continue
            with suppress(PeerError):  # no proof: whoever leaves may do so
                dealing = sent.dealings[dealer]
                self.convict(evidence.complaint(group, dealer, dealing, accuser, body))
            if group.device_ids[dealer] in self.proofs:
                self._depart(dealer)
            if group.device_ids[accuser] in self.proofs:
                return

    def _depart(self, number: int) -> None:
        """Remove a device. Until the survivors are fixed its input goes with it; afterwards the
        input stays in the sum.
        """
        self._departed.add(number)
        # Once the survivors are announced, the others open masks for exactly that set: without this
        # input their sum would stay masked.
        if self.state is GroupState.SHARING:
            self.contributions.remove_dealing(number)
        if self.state is GroupState.MASKING:
            self.contributions.remove_input(number)

    def _open(self) -> None:
        try:
            self.result = open_sum(self.drawn, self.contributions)
        except FalseDealersError as error:
            for dealer in error.dealers:
                self._convict_dealer(dealer)
            # `advance` has moved on to DONE; the opening itself decides.
            self.state, _ = step(GROUP, GroupState.OPENING, GroupEvent.CHEATED)
            self._fail(GroupState.OPENING, GroupEvent.CHEATED)
            return
        self.contributions.discard_secrets()

    def _convict_dealer(self, dealer: int) -> None:
        """Note the proof that a dealer's shares restore another secret than it published."""
        sent = self.contributions
        kind = "self" if dealer in sent.survivors else "pair"
        shares = {giver: sent.shares[giver][dealer] for giver in givers(self.drawn, sent)}
        proof = evidence.secret(self.drawn, dealer, sent.dealings[dealer], kind, shares)
        self.convict(proof)

    def _fail(self, phase: GroupState, event: GroupEvent) -> None:
        self.failure = GroupFailure(phase, event.value, tuple(sorted(self.faults)))
        self.contributions.discard_secrets()
