"""The aggregator's part in a round of GroupSecAgg/1, sans-IO and deterministic: messages and times
in, answers and results out.

How to drive it:

    join = Join(config, ca_pem, now)            the join window
    join.advertise(device_id, body)             POST …/advertise; answer 202; the same body again is
                                                fine, another one is 409
    groups = join.close(now)                    draws groups by the beacon: list of GroupRound;
                                                `join.left_out`: in no group (answer 410)

    group.receive(kind, device_id, body)        POST …/{shares|consistency|unmask|leave} and the
                                                masked input of POST /updates
    group.drop(device_id)                       it was revoked or erased: as if it had left
                                                (`join.drop` before the groups stand)
    group.advance(now)                          after each message and when `group.deadline` has
                                                come; True when the phase changed
    group.inbox(after, device_id)               GET
                                                …/inbox?after=advertise|shares|masked|consistency →
                                                bytes, or None: not yet (204)
    group.result                                a Sum when state is DONE; group.failure an Abort
                                                when ABORTED

`device_id` is what the request's certificate said. Everything here follows from the sequence of
calls: to survive a crash, store each accepted body and each `advance` that returned True with its
`now` in the same transaction, and play them again into a new object. A PeerError's code says what
to answer: ROUND_CLOSED 410, ALREADY_CONTRIBUTED 409, NOT_IN_GROUP 403, all others 422.

What it enforces: one message of a kind per device, inputs only until U3 is fixed, never fewer than
the configuration's minimum, certificates and signatures at the door, each share against its
commitment on arrival (a bad one is refused and its giver blamed), each opened secret against what
its dealer published. A group that fails costs only itself.
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from numpy.typing import NDArray

from agent.errors import PeerError
from agent.privacy.zcdp import sent_words
from agent.protocol import codec, merkle
from agent.protocol.identities import Authority, verify_signature
from agent.protocol.messages import RoundConfig
from agent.protocol.packing import unpack
from agent.protocol.sharing import commitment
from agent.protocol.states import GROUP, GroupAction, GroupEvent, GroupState, step
from server_stub.secagg.unmasking import FalseDealer, Opening, unmask

Words = NDArray[np.uint32]


@dataclass(frozen=True)
class GroupSum:
    """An opened group: hand `words` to agent.privacy.codec.decode_sum with `count`."""

    words: Words
    """Sum of the survivors' noised words modulo 2^bits."""
    count: int
    devices: tuple[str, ...]
    """Who is in it."""


@dataclass(frozen=True)
class GroupFailure:
    """A group that gave nothing."""

    phase: GroupState
    reason: str
    blamed: tuple[str, ...]


class JoinPhase:
    """The join window of a round."""

    def __init__(
        self, config: RoundConfig, ca_pem: str, now: int, revoked: frozenset[int] = frozenset()
    ) -> None:
        self._config = config
        self._authority = Authority(
            ca_pem, datetime.datetime.fromtimestamp(now, datetime.UTC), revoked
        )
        self._context = codec.round_context(config)
        self._bodies: dict[str, bytes] = {}
        self._advertised: dict[str, codec.Advertisement] = {}
        self._keys: dict[str, EllipticCurvePublicKey] = {}
        self._groups: list[GroupRound] | None = None
        self.left_out: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return len(self._advertised)

    @property
    def devices(self) -> frozenset[str]:
        return frozenset(self._advertised)

    def advertise(self, device_id: str, body: bytes) -> None:
        """Take a device in."""
        if _repeated(self._bodies, device_id, body):
            return
        if self._groups is not None:
            raise _closed("The join window of this round is over.")
        made = codec.decode_advertisement(body, self._context)
        key = self._authority.key_of(made.certificate, made.device_id)
        if made.device_id != device_id or not verify_signature(
            key, made.signature, made.statement(self._context)
        ):
            raise PeerError(
                "ROSTER_SIGNATURE",
                "The keys are not signed by this device for this round.",
                "Nothing was changed.",
            )
        fresh = {made.sealing_key, made.masking_key}
        if len(fresh) < 2 or any(
            fresh & {one.sealing_key, one.masking_key} for one in self._advertised.values()
        ):
            raise PeerError(
                "ROSTER_DUPLICATE", "Another device has these keys.", "Nothing was changed."
            )
        self._bodies[device_id], self._advertised[device_id], self._keys[device_id] = (
            body,
            made,
            key,
        )

    def leave(self, device_id: str, body: bytes) -> None:
        codec.decode_leave(body, self._context)
        self.drop(device_id)

    def drop(self, device_id: str) -> None:
        """Forget what a device advertised."""
        for held in (self._bodies, self._advertised, self._keys):
            held.pop(device_id, None)

    def close(self, now: int) -> "list[GroupRound]":
        """Draw the groups, the fewest that all fit; those below the minimum are left out."""
        if self._groups is None:
            self._groups = self._drawn(now)
        return self._groups

    def _drawn(self, now: int) -> "list[GroupRound]":
        ids = sorted(self._advertised)
        leaves = [merkle.leaf(device_id, self._advertised[device_id].nonce) for device_id in ids]
        if len(ids) < self._config.min_group:
            self.left_out = tuple(ids)
            return []
        beacon, proofs = merkle.root(leaves), merkle.proofs(leaves)
        count = -(-len(ids) // self._config.g_max)
        while max(map(len, drawn := _draw(ids, beacon, count))) > self._config.g_max:
            count += 1
        made = []
        for number, places in enumerate(drawn):
            if len(places) < self._config.min_group:
                self.left_out += tuple(ids[at] for at in places)
                continue
            members = tuple(
                codec.Member(self._advertised[ids[at]], at, () if count == 1 else tuple(proofs[at]))
                for at in places
            )
            roster = codec.Roster(number, count, len(ids), beacon, members)
            made.append(
                GroupRound(self._config, roster, [self._keys[ids[at]] for at in places], now)
            )
        return made


def _draw(ids: list[str], beacon: bytes, count: int) -> list[list[int]]:
    """Places of the devices by group."""
    drawn: list[list[int]] = [[] for _ in range(count)]
    for at, device_id in enumerate(ids):
        drawn[merkle.group_of(beacon, device_id, count)].append(at)
    return drawn


class GroupRound:
    """One group from its roster to its sum."""

    def __init__(
        self,
        config: RoundConfig,
        roster: codec.Roster,
        keys: list[EllipticCurvePublicKey],
        now: int,
    ) -> None:
        self._config = config
        self._roster = roster
        self._keys = keys
        self._ids = tuple(member.advertisement.device_id for member in roster.members)
        self._number = {device_id: number for number, device_id in enumerate(self._ids)}
        self._round_context = codec.round_context(config)
        self._context = codec.group_context(self._round_context, roster)
        self._threshold = codec.threshold(len(self._ids), config)
        self._fewest = codec.fewest(len(self._ids), config)
        self._bodies: dict[str, dict[str, bytes]] = {
            kind: {} for kind in ("shares", "masked", "consistency", "unmask", "leave")
        }
        self._dealings: dict[int, codec.Dealing] = {}
        self._inputs: dict[int, bytes] = {}
        self._signatures: dict[int, bytes] = {}
        self._shares: dict[int, dict[int, bytes]] = {}
        self._gone: set[int] = set()
        self._dealers: frozenset[int] = frozenset()
        self._survivors: frozenset[int] = frozenset()
        self._handed: dict[int, bytes] = {}
        self.state = GroupState.SHARING
        self.deadline = now + config.phase_s
        self.blamed: dict[str, str] = {}
        """Device id -> code of what it did."""
        self.result: GroupSum | None = None
        self.failure: GroupFailure | None = None

    @property
    def devices(self) -> tuple[str, ...]:
        return self._ids

    @property
    def threshold(self) -> int:
        return self._threshold

    def counts(self) -> dict[str, int]:
        """Devices per phase: how many dropped out is the difference."""
        return {
            "advertised": len(self._ids),
            "shared": len(self._dealings),
            "masked": len(self._survivors or self._inputs),
            "signed": len(self._signatures),
            "unmasked": len(self._shares),
        }

    def receive(self, kind: str, device_id: str, body: bytes) -> None:
        """Take a message: "shares", "masked", "consistency", "unmask" or "leave"."""
        number = self._number.get(device_id)
        if number is None:
            raise PeerError(
                "NOT_IN_GROUP", "This device is not in that group.", "Nothing was changed."
            )
        if kind not in self._bodies:
            raise PeerError("BAD_MESSAGE", "There is no such message.", "Nothing was changed.")
        if number in self._gone and kind != "leave":
            raise _closed("This device has left the group.")
        if _repeated(self._bodies[kind], device_id, body):
            return
        take = {
            "shares": self._take_dealing,
            "masked": self._take_input,
            "consistency": self._take_signature,
            "unmask": self._take_shares,
            "leave": self._take_leave,
        }[kind]
        take(number, body)
        self._bodies[kind][device_id] = body

    def holds(self, kind: str, device_id: str) -> bool:
        """Whether such a message of this device was taken."""
        return device_id in self._bodies.get(kind, {})

    def drop(self, device_id: str) -> None:
        """Go on without a device that may not take part any more."""
        self._go(self._number[device_id])

    def inbox(self, after: str, device_id: str) -> bytes | None:
        """The outcome of a phase for one device; None: not yet.

        Raises PeerError ROUND_CLOSED when there will be none for it.
        """
        number = self._number.get(device_id)
        if number is None or number in self._gone:
            raise _closed("This device is not in that group.")
        if after == "advertise":
            return codec.encode_roster(self._round_context, self._roster)
        if self.state is GroupState.ABORTED:
            raise _closed("The group ended without a sum.")
        order = (
            GroupState.SHARING,
            GroupState.MASKING,
            GroupState.AGREEING,
            GroupState.OPENING,
            GroupState.DONE,
        )
        wanted = {
            "shares": GroupState.MASKING,
            "masked": GroupState.AGREEING,
            "consistency": GroupState.OPENING,
        }.get(after)
        if wanted is None:
            raise PeerError("BAD_MESSAGE", "There is no such phase.", "Nothing was changed.")
        if order.index(self.state) < order.index(wanted):
            return None
        if number not in (self._dealers if after == "shares" else self._survivors):
            raise _closed("This device was too late for that phase.")
        if after == "shares":
            return codec.encode_inbox(
                self._context, number, {dealer: self._dealings[dealer] for dealer in self._dealers}
            )
        if after == "masked":
            return codec.encode_survivors(self._context, self._survivors)
        return codec.encode_signatures(self._context, self._handed)

    def advance(self, now: int) -> bool:
        """Go on when everybody expected has answered or the deadline has come."""
        met = self._met(now >= self.deadline)
        if met is None:
            return False
        phase = self.state
        self.state, action = step(GROUP, self.state, met)
        self.deadline = now + self._config.phase_s
        if action is GroupAction.HAND_SHARES:
            self._dealers = frozenset(self._dealings)
        elif action is GroupAction.FIX_SURVIVORS:
            self._survivors = frozenset(self._inputs)
        elif action is GroupAction.HAND_SIGNATURES:
            self._handed = dict(self._signatures)
        elif action is GroupAction.OPEN_SUM:
            self._open()
        if self.state is GroupState.ABORTED and self.failure is None:
            self._give_up(phase, met.value)
        return True

    def _met(self, late: bool) -> GroupEvent | None:
        """How the present phase ended, if it has."""
        everybody = set(range(len(self._ids)))
        if self.state is GroupState.SHARING:
            return _ended(
                len(self._dealings),
                everybody - self._gone <= self._dealings.keys(),
                late,
                self._fewest,
            )
        if self.state is GroupState.MASKING:
            return _ended(
                len(self._inputs),
                self._dealers - self._gone <= self._inputs.keys(),
                late,
                self._fewest,
            )
        if self.state is GroupState.AGREEING:
            return _ended(
                len(self._signatures),
                len(self._signatures) >= self._threshold,
                late,
                self._threshold,
            )
        if self.state is GroupState.OPENING:
            return _ended(
                len(self._shares), len(self._shares) >= self._threshold, late, self._threshold
            )
        return None

    def _take_dealing(self, number: int, body: bytes) -> None:
        self._expect(GroupState.SHARING)
        self._dealings[number] = codec.decode_dealing(body, self._context, number, len(self._ids))

    def _take_input(self, number: int, body: bytes) -> None:
        self._expect(GroupState.MASKING)
        if number not in self._dealers:
            raise _closed("This device dealt no shares in time.")
        made = codec.decode_masked(body, self._context, self._config)
        unpack(made.words, self._config.bits, sent_words(self._config))
        if not verify_signature(
            self._keys[number],
            made.signature,
            codec.masked_statement(self._context, self._dealers, made.words),
        ):
            raise self._blame(
                number, "MASKED_SIGNATURE", "The masked update is not signed for these dealers."
            )
        self._inputs[number] = made.words

    def _take_signature(self, number: int, body: bytes) -> None:
        if self.state not in (GroupState.OPENING, GroupState.DONE):
            self._expect(GroupState.AGREEING)
        signature = codec.decode_consistency(body, self._context)
        statement = codec.survivors_statement(self._context, self._dealers, self._survivors)
        if number not in self._survivors or not verify_signature(
            self._keys[number], signature, statement
        ):
            raise self._blame(
                number, "CONSISTENCY_SIGNATURE", "The signature is not over these survivors."
            )
        self._signatures[number] = signature

    def _take_shares(self, number: int, body: bytes) -> None:
        if self.state is GroupState.DONE:
            return
        self._expect(GroupState.OPENING)
        if number not in self._survivors:
            raise _closed("This device is not among the survivors.")
        dealers = sorted(self._dealers)
        shares = dict(
            zip(dealers, codec.decode_unmask(body, self._context, len(dealers)), strict=True)
        )
        for dealer, share in shares.items():
            kind = "self" if dealer in self._survivors else "pair"
            committed = self._dealings[dealer].to[number]
            wanted = committed.self_commitment if kind == "self" else committed.pair_commitment
            if commitment(self._context, dealer, number, kind, share) != wanted:
                raise self._blame(number, "SHARE_FALSE", "A share is not the one that was dealt.")
        self._shares[number] = shares

    def _take_leave(self, number: int, body: bytes) -> None:
        """Before U3 is fixed a leaving device's input goes with it; afterwards it stays in the
        sum.
        """
        _, blamed = codec.decode_leave(body, self._round_context)
        for device_id in blamed:
            if device_id in self._number:
                self.blamed.setdefault(device_id, "SHARE_UNREADABLE")
        self._go(number)

    def _go(self, number: int) -> None:
        self._gone.add(number)
        if self.state is GroupState.SHARING:
            self._dealings.pop(number, None)
        if self.state in (GroupState.SHARING, GroupState.MASKING):
            self._inputs.pop(number, None)

    def _expect(self, state: GroupState) -> None:
        if self.state is not state:
            raise _closed(f"The group is at “{self.state.value}”.")

    def _blame(self, number: int, code: str, message: str) -> PeerError:
        self.blamed[self._ids[number]] = code
        return PeerError(code, message, "Nothing was changed.")

    def _open(self) -> None:
        words = np.zeros(sent_words(self._config), np.uint32)
        for packed in self._inputs.values():
            words += unpack(packed, self._config.bits, len(words))
        opening = Opening(
            context=self._context,
            model_digest=self._config.model_digest,
            config_digest=self._config.digest,
            masking_keys=[member.advertisement.masking_key for member in self._roster.members],
            self_digests={dealer: self._dealings[dealer].self_digest for dealer in self._dealers},
            dealers=self._dealers,
            survivors=self._survivors,
        )
        givers = sorted(self._shares)[: self._threshold]
        try:
            unmask(words, opening, {giver: self._shares[giver] for giver in givers})
        except FalseDealer as error:
            self.blamed[self._ids[error.dealer]] = "SECRET_FALSE"
            self.state, _ = step(GROUP, GroupState.OPENING, GroupEvent.CHEATED)
            self._give_up(GroupState.OPENING, GroupEvent.CHEATED.value)
            return
        words &= np.uint32((1 << self._config.bits) - 1)
        self.result = GroupSum(
            words,
            len(self._survivors),
            tuple(self._ids[number] for number in sorted(self._survivors)),
        )
        self._forget()

    def _give_up(self, phase: GroupState, reason: str) -> None:
        self.failure = GroupFailure(phase, reason, tuple(sorted(self.blamed)))
        self._forget()

    def _forget(self) -> None:
        """Masked inputs and shares are of no use any more."""
        self._inputs, self._shares = {}, {number: {} for number in self._shares}


def _ended(count: int, everybody: bool, late: bool, fewest: int) -> GroupEvent | None:
    if not (everybody or late):
        return None
    return GroupEvent.ENOUGH if count >= fewest else GroupEvent.TOO_FEW


def _repeated(bodies: Mapping[str, bytes], device_id: str, body: bytes) -> bool:
    """Whether this very message was taken before.

    Raises PeerError ALREADY_CONTRIBUTED for a second, different one.
    """
    stored = bodies.get(device_id)
    if stored is not None and sha256(stored).digest() != sha256(body).digest():
        raise PeerError(
            "ALREADY_CONTRIBUTED",
            "This device has already sent another message of this kind.",
            "The first one counts.",
        )
    return stored is not None


def _closed(message: str) -> PeerError:
    return PeerError("ROUND_CLOSED", message, "AegisAI takes part in a later round.")
