"""The messages of GroupSecAgg/2 as bytes: one envelope each, with a small header and fixed-size
records.

1. Messages before the groups are formed carry ctx_round, later ones ctx_group. `round_context` and
   `group_context` say what these bind.
2. A device's number is its index in the roster, which is sorted by device id.
3. Decoding checks sizes, order and context. The receiver decides whether keys, signatures and
   numbers are acceptable.
4. A device signs what it deals, masks, agrees to, returns and complains of. Each signature covers
   ctx_group, and so the round and every member: it proves what the device did in that group.
5. Every decoder raises PeerError BAD_MESSAGE or WRONG_CONTEXT.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any

from agent.errors import PeerError
from agent.protocol import envelope
from agent.protocol.canonical import canonical
from agent.protocol.draw import LEAF_BYTES, Draw, leaf
from agent.protocol.exchange_proof import PROOF_BYTES
from agent.protocol.field import ELEMENT_BYTES
from agent.protocol.limits import MAX_GROUP
from agent.protocol.messages import RoundConfig
from agent.protocol.states import LeaveReason
from agent.protocol.witness import SEED_BYTES, Witnessed

KEY_BYTES = 32
SIGNATURE_BYTES = 64
"""ECDSA P-256, r ‖ s."""
SEALED_SHARES_BYTES = 2 * ELEMENT_BYTES + 16
"""Both shares for one device, under AES-256-GCM."""
DIGEST_BYTES = 32
MAX_ID_BYTES = 64
MAX_CERTIFICATE_BYTES = 4096
_MAX_DEVICES = 1 << 20


@dataclass(frozen=True)
class Advertisement:
    """A device's fresh keys for one round, signed with its certificate's key."""

    device_id: str
    nonce: bytes
    sealing_key: bytes
    """X25519, encrypts shares in transit."""
    masking_key: bytes
    """X25519, derives pair masks."""
    signature: bytes
    certificate: bytes
    """DER."""

    def statement(self, context: bytes) -> bytes:
        """Return the bytes that the signature covers."""
        parts = (
            self.device_id.encode(),
            self.nonce,
            self.sealing_key,
            self.masking_key,
            sha256(self.certificate).digest(),
        )
        return _signed(b"advertise", context, *parts)

    @property
    def digest(self) -> bytes:
        return sha256(record_of(self)).digest()

    @property
    def leaf(self) -> bytes:
        """Its place in the draw."""
        return leaf(record_of(self))


@dataclass(frozen=True)
class Roster:
    """U1 of one group, and the list of everybody who advertised, from which it was drawn."""

    group: int
    leaves: tuple[bytes, ...]
    """agent.protocol.draw: one for each device of the round, ascending."""
    witnessed: Witnessed
    members: tuple[Advertisement, ...]

    @property
    def digest(self) -> bytes:
        """H(U1)."""
        return roster_digest([member.digest for member in self.members])

    @cached_property
    def draw(self) -> Draw:
        return Draw(self.leaves, self.witnessed.seed)


@dataclass(frozen=True)
class SealedShares:
    """Both shares that one device sends to another, encrypted, and the commitments to them."""

    sealed: bytes
    self_commitment: bytes
    pair_commitment: bytes


@dataclass(frozen=True)
class Dealing:
    """The shares that one device deals.

    `to` has an entry for each device of the roster; its own entry has commitments only.
    """

    self_digest: bytes
    to: tuple[SealedShares, ...]
    signature: bytes = b""
    """The dealer's, over `dealing_statement`."""


def round_context(config: RoundConfig) -> bytes:
    """Return ctx_round: it binds protocol, task, round, model and configuration."""
    names = ("protocol", "task_id", "round_id", "model_version", "model_digest")
    value = {**{name: getattr(config, name) for name in names}, "config_digest": config.digest}
    return sha256(canonical(value)).digest()


def group_context(context: bytes, roster: Roster) -> bytes:
    """Return ctx_group: it binds ctx_round, the draw, the group and all of its members."""
    advertised = len(roster.leaves)
    return group_context_of(context, roster.group, advertised, roster.draw.beacon, roster.digest)


def group_context_of(
    context: bytes, group: int, advertised: int, beacon: bytes, members: bytes
) -> bytes:
    """Return ctx_group; `members` is the roster's digest."""
    label = b"secagg/group-context"
    return sha256(label + context + canonical([group, advertised]) + beacon + members).digest()


def roster_digest(digests: Iterable[bytes]) -> bytes:
    """Return H(U1) from the digests of the advertisements, in order.

    So a few members can be shown to be in a group without showing the others.
    """
    return sha256(b"".join(digests)).digest()


def set_digest(numbers: Iterable[int]) -> bytes:
    """Return the digest of a set of devices."""
    return sha256(canonical(sorted(numbers))).digest()


def threshold(size: int, config: RoundConfig) -> int:
    """Return t, the number of shares that open a secret in a group of `size`.

    t > (size + c)/2, with the c that the price of the round assumes, whatever the size. So an
    aggregator with c colluders cannot show two different sets of survivors to two parts of the
    group and open both (Bonawitz et al. 2017: 2t > n + |C|).
    """
    return (size + config.colluders) // 2 + 1


def min_survivors(size: int, config: RoundConfig) -> int:
    """Return the fewest devices with which a group of `size` may continue."""
    return max(config.min_sum, threshold(size, config))


# Advertise


def encode_advertisement(context: bytes, advertisement: Advertisement) -> bytes:
    return _encode("advertise", context, record_of(advertisement))


def decode_advertisement(body: bytes, context: bytes) -> Advertisement:
    return read_record(_decode(body, "advertise", context)[1])


def read_record(record: bytes) -> Advertisement:
    """Read an advertisement as it stands in a roster."""
    reader = _Reader(record)
    advertisement = reader.advertisement()
    reader.end()
    return advertisement


def encode_roster(context: bytes, roster: Roster) -> bytes:
    header = {
        "group": roster.group,
        "advertised": len(roster.leaves),
        "seed": roster.witnessed.seed.hex(),
        "witness": roster.witnessed.signature.hex(),
    }
    records = (record_of(member) for member in roster.members)
    payload = b"".join((*roster.leaves, *records))
    return _encode("roster", context, payload, size=len(roster.members), **header)


def decode_roster(body: bytes, context: bytes) -> Roster:
    names = ("group", "advertised", "seed", "witness", "size")
    header, payload = _decode(body, "roster", context, *names)
    reader = _Reader(payload)
    advertised = _number(header, "advertised", 1, _MAX_DEVICES)
    leaves = tuple(reader.take(LEAF_BYTES) for _ in range(advertised))
    members = tuple(reader.advertisement() for _ in range(_number(header, "size", 1, MAX_GROUP)))
    reader.end()
    return Roster(_number(header, "group", 0, advertised - 1), leaves, _witnessed(header), members)


def _witnessed(header: dict[str, Any]) -> Witnessed:
    if header["seed"] == header["witness"] == "":
        return Witnessed()
    return Witnessed(_hex(header, "seed", SEED_BYTES), _hex(header, "witness", SIGNATURE_BYTES))


# Shares


def dealing_bytes(size: int) -> int:
    """Return the length of what a device of a group of `size` deals."""
    return DIGEST_BYTES * (1 + 2 * size) + SEALED_SHARES_BYTES * (size - 1)


def dealing_statement(context: bytes, payload: bytes) -> bytes:
    """Return the bytes that a dealer signs with its message's payload."""
    return dealing_statement_of(context, sha256(payload).digest(), len(payload))


def dealing_statement_of(context: bytes, payload: bytes, length: int) -> bytes:
    """Return what a dealer signs, from the digest and the length of its message's payload."""
    return _signed(b"shares", context, payload, length.to_bytes(4, "big"))


def dealing_digest(own: int, dealing: Dealing) -> bytes:
    """Return the digest by which a complaint names what dealer `own` dealt."""
    return sha256(dealing_payload(own, dealing)).digest()


def dealing_payload(own: int, dealing: Dealing) -> bytes:
    """Return what dealer `own` signs and sends."""
    parts = [dealing.self_digest]
    for holder, shares in enumerate(dealing.to):
        parts += [shares.self_commitment, shares.pair_commitment] + (
            [] if holder == own else [shares.sealed]
        )
    return b"".join(parts)


def encode_dealing(context: bytes, own: int, dealing: Dealing) -> bytes:
    """Encode a signed dealing of device `own`."""
    payload = dealing_payload(own, dealing)
    return _encode("shares", context, payload, signature=dealing.signature.hex())


def signed_dealing(body: bytes, context: bytes) -> tuple[bytes, bytes]:
    """Return a dealer's payload, of any length, and its signature."""
    header, payload = _decode(body, "shares", context, "signature")
    return payload, _hex(header, "signature", SIGNATURE_BYTES)


def decode_dealing(body: bytes, context: bytes, own: int, size: int) -> Dealing:
    payload, signature = signed_dealing(body, context)
    reader = _Reader(payload)
    digest = reader.take(DIGEST_BYTES)
    to = []
    for holder in range(size):
        one, other = reader.take(DIGEST_BYTES), reader.take(DIGEST_BYTES)
        to.append(
            SealedShares(b"" if holder == own else reader.take(SEALED_SHARES_BYTES), one, other)
        )
    reader.end()
    return Dealing(digest, tuple(to), signature)


def encode_inbox(context: bytes, own: int, dealings: dict[int, Dealing]) -> bytes:
    """Encode U2 (the dealers) and what they dealt to device `own`."""
    dealers = sorted(dealings)
    pieces = (dealings[dealer].to[own] for dealer in dealers if dealer != own)
    payload = b"".join(
        piece.sealed + piece.self_commitment + piece.pair_commitment for piece in pieces
    )
    return _encode("inbox", context, payload, dealers=dealers)


def decode_inbox(
    body: bytes, context: bytes, own: int, size: int
) -> tuple[frozenset[int], dict[int, SealedShares]]:
    """Return U2 and the shares by dealer, without the device's own."""
    header, payload = _decode(body, "inbox", context, "dealers")
    dealers = _numbers(header, "dealers", size)
    reader = _Reader(payload)
    shares = {
        dealer: SealedShares(
            reader.take(SEALED_SHARES_BYTES), reader.take(DIGEST_BYTES), reader.take(DIGEST_BYTES)
        )
        for dealer in sorted(dealers)
        if dealer != own
    }
    reader.end()
    return dealers, shares


# Complaint


@dataclass(frozen=True)
class Accusation:
    """A device says that it cannot read the shares of a dealer, and gives their secret away."""

    dealer: int
    dealing: bytes
    """`dealing_digest` of what the dealer signed."""
    proof: bytes
    """agent.protocol.exchange_proof, in the context `accusation_context`."""


@dataclass(frozen=True)
class Complaint:
    """The accusations of one device, ascending by dealer, under its signature."""

    accusations: tuple[Accusation, ...]
    signature: bytes = b""


def accusation_context(context: bytes, dealer: int, holder: int) -> bytes:
    """Return what the proof of an accusation is bound to."""
    return context + dealer.to_bytes(2, "big") + holder.to_bytes(2, "big")


def complaint_statement(context: bytes, complaint: Complaint) -> bytes:
    """Return the bytes that a device signs with its complaint."""
    return _signed(b"complaint", context, sha256(_accused(complaint)).digest())


def encode_complaint(context: bytes, complaint: Complaint) -> bytes:
    signature = complaint.signature.hex()
    return _encode("complaint", context, _accused(complaint), signature=signature)


def decode_complaint(body: bytes, context: bytes, own: int, size: int) -> Complaint:
    """Read the complaint of device `own`: at least one accusation, each of another device."""
    header, payload = _decode(body, "complaint", context, "signature")
    count, rest = divmod(len(payload), 2 + DIGEST_BYTES + PROOF_BYTES)
    if rest or not 1 <= count < size:
        raise _bad("complaint: expected one record for each accused device")
    reader = _Reader(payload)
    accusations = tuple(
        Accusation(
            int.from_bytes(reader.take(2), "big"),
            reader.take(DIGEST_BYTES),
            reader.take(PROOF_BYTES),
        )
        for _ in range(count)
    )
    accused = [one.dealer for one in accusations]
    if accused != sorted(set(accused)) or own in accused or accused[-1] >= size:
        raise _bad("complaint: expected other devices of the group, ascending")
    return Complaint(accusations, _hex(header, "signature", SIGNATURE_BYTES))


def _accused(complaint: Complaint) -> bytes:
    return b"".join(
        one.dealer.to_bytes(2, "big") + one.dealing + one.proof for one in complaint.accusations
    )


# Masked input


@dataclass(frozen=True)
class MaskedInput:
    """An update under masks. Its header names the round in the same fields as a local update's."""

    header: dict[str, Any]
    words: bytes
    signature: bytes


def masked_statement(context: bytes, dealers: frozenset[int], words: bytes) -> bytes:
    """Return the bytes that a device signs with its masked input."""
    return masked_statement_of(context, set_digest(dealers), sha256(words).digest(), len(words))


def masked_statement_of(context: bytes, dealers: bytes, words: bytes, length: int) -> bytes:
    """Return what a device signs with its masked input, from the digests of dealers and words.

    The length is in it, so that a wrong one can be shown without the words.
    """
    return _signed(b"masked", context, dealers, words, length.to_bytes(4, "big"))


def encode_masked(
    context: bytes, sealed_header: dict[str, Any], words: bytes, signature: bytes
) -> bytes:
    return envelope.encode(
        {
            **sealed_header,
            "kind": "masked-input",
            "context": context.hex(),
            "signature": signature.hex(),
        },
        words,
    )


def decode_masked(body: bytes, context: bytes, config: RoundConfig) -> MaskedInput:
    names = ("task_id", "round_id", "config_digest", "attempt", "d", "bits", "signature")
    header, words = _decode(body, "masked-input", context, *names)
    round_fields = (
        header["task_id"],
        header["round_id"],
        header["config_digest"],
        header["d"],
        header["bits"],
    )
    if round_fields != (config.task_id, config.round_id, config.digest, config.d, config.bits):
        raise PeerError(
            "WRONG_CONTEXT", "A masked update belongs to another round.", "Nothing was changed."
        )
    return MaskedInput(header, words, _hex(header, "signature", SIGNATURE_BYTES))


# Consistency


def encode_survivors(context: bytes, survivors: Iterable[int]) -> bytes:
    """Encode U3: the devices whose masked input arrived."""
    return _encode("survivors", context, b"", survivors=sorted(survivors))


def decode_survivors(body: bytes, context: bytes, size: int) -> frozenset[int]:
    header, payload = _decode(body, "survivors", context, "survivors")
    _Reader(payload).end()
    return _numbers(header, "survivors", size)


@dataclass(frozen=True)
class Agreement:
    """The sets that a device agrees to, as digests, under its signature."""

    dealers: bytes
    survivors: bytes
    signature: bytes = b""

    def statement(self, context: bytes) -> bytes:
        """Return the bytes that the signature covers."""
        return _signed(b"survivors", context, self.dealers, self.survivors)


def agreement(dealers: frozenset[int], survivors: frozenset[int]) -> Agreement:
    """Return what a device signs about U2 and U3, not yet signed."""
    return Agreement(set_digest(dealers), set_digest(survivors))


def encode_consistency(context: bytes, agreement: Agreement) -> bytes:
    payload = agreement.dealers + agreement.survivors + agreement.signature
    return _encode("consistency", context, payload)


def decode_consistency(body: bytes, context: bytes) -> Agreement:
    reader = _Reader(_decode(body, "consistency", context)[1])
    agreement = Agreement(
        reader.take(DIGEST_BYTES), reader.take(DIGEST_BYTES), reader.take(SIGNATURE_BYTES)
    )
    reader.end()
    return agreement


def encode_signatures(context: bytes, signatures: dict[int, bytes]) -> bytes:
    return _encode(
        "signatures",
        context,
        b"".join(signatures[signer] for signer in sorted(signatures)),
        signers=sorted(signatures),
    )


def decode_signatures(body: bytes, context: bytes, size: int) -> dict[int, bytes]:
    header, payload = _decode(body, "signatures", context, "signers")
    reader = _Reader(payload)
    signatures = {
        signer: reader.take(SIGNATURE_BYTES) for signer in sorted(_numbers(header, "signers", size))
    }
    reader.end()
    return signatures


# Unmask, leave


def unmask_statement(
    context: bytes, agreement: Agreement, dealt: Sequence[bytes], returned: Sequence[bytes]
) -> bytes:
    """Return the bytes that a device signs with the shares that it returns.

    `agreement`: the sets that it signed. `dealt`: the commitments that it accepted, of the shares
    to return; `returned`: those of the shares that it returns. An honest device has the same twice.
    """
    digests = (sha256(b"".join(commitments)).digest() for commitments in (dealt, returned))
    return _signed(b"unmask", context, agreement.dealers, agreement.survivors, *digests)


def encode_unmask(context: bytes, shares: Sequence[bytes], signature: bytes) -> bytes:
    """Encode one share for each dealer of U2, ascending: of its self mask if it is in U3, else of
    its pair masks.
    """
    return _encode("unmask", context, b"".join(shares), signature=signature.hex())


def decode_unmask(body: bytes, context: bytes, count: int) -> tuple[tuple[bytes, ...], bytes]:
    """Return the shares and the signature over `unmask_statement`."""
    header, payload = _decode(body, "unmask", context, "signature")
    reader = _Reader(payload)
    shares = tuple(reader.take(ELEMENT_BYTES) for _ in range(count))
    reader.end()
    return shares, _hex(header, "signature", SIGNATURE_BYTES)


def encode_leave(context: bytes, reason: LeaveReason) -> bytes:
    """Encode a device's departure: a code of the list."""
    return _encode("leave", context, b"", reason=reason.value)


def decode_leave(body: bytes, context: bytes) -> LeaveReason:
    header, payload = _decode(body, "leave", context, "reason")
    _Reader(payload).end()
    reason = header["reason"]
    if reason not in list(LeaveReason):
        raise _bad("leave: expected a code of the list")
    return LeaveReason(reason)


def _signed(label: bytes, context: bytes, *parts: bytes) -> bytes:
    """Return the bytes to sign: the label, the context, and each part with its length."""
    return (
        b"secagg/"
        + label
        + b"\0"
        + context
        + b"".join(len(part).to_bytes(2, "big") + part for part in parts)
    )


def record_of(advertisement: Advertisement) -> bytes:
    device_id, certificate = advertisement.device_id.encode(), advertisement.certificate
    return (
        bytes([len(device_id)])
        + device_id
        + advertisement.nonce
        + advertisement.sealing_key
        + advertisement.masking_key
        + advertisement.signature
        + len(certificate).to_bytes(2, "big")
        + certificate
    )


def _encode(kind: str, context: bytes, payload: bytes, **header: Any) -> bytes:
    return envelope.encode({"kind": kind, "context": context.hex(), **header}, payload)


def _decode(body: bytes, kind: str, context: bytes, *names: str) -> tuple[dict[str, Any], bytes]:
    message = envelope.decode(body)
    if set(message.header) != {"kind", "context", *names} or message.header["kind"] != kind:
        raise _bad(f"expected a {kind} message")
    if message.header["context"] != context.hex():
        raise PeerError(
            "WRONG_CONTEXT",
            "A message belongs to another round, group, model or configuration.",
            "Nothing was changed.",
            kind,
        )
    return message.header, message.payload


class _Reader:
    """Reads records from a payload, in order and to its last byte."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._position = 0

    def take(self, size: int) -> bytes:
        piece = self._payload[self._position : self._position + size]
        if len(piece) != size:
            raise _bad("the message is too short")
        self._position += size
        return piece

    def advertisement(self) -> Advertisement:
        try:
            device_id = self.take(self._bounded(self.take(1), MAX_ID_BYTES)).decode("ascii")
        except UnicodeDecodeError as error:
            raise _bad("a device id is not ASCII") from error
        nonce, sealing, masking = (self.take(KEY_BYTES) for _ in range(3))
        signature = self.take(SIGNATURE_BYTES)
        certificate = self.take(self._bounded(self.take(2), MAX_CERTIFICATE_BYTES))
        return Advertisement(device_id, nonce, sealing, masking, signature, certificate)

    def end(self) -> None:
        if self._position != len(self._payload):
            raise _bad("the message is too long")

    @staticmethod
    def _bounded(raw: bytes, most: int) -> int:
        size = int.from_bytes(raw, "big")
        if not 1 <= size <= most:
            raise _bad(f"expected a length between 1 and {most}")
        return size


def _number(header: dict[str, Any], name: str, low: int, high: int) -> int:
    value = header[name]
    if type(value) is not int or not low <= value <= high:
        raise _bad(f"{name}: expected {low} to {high}")
    return value


def _numbers(header: dict[str, Any], name: str, size: int) -> frozenset[int]:
    values = header[name]
    if (
        not isinstance(values, list)
        or len(values) > size
        or any(type(value) is not int for value in values)
    ):
        raise _bad(f"{name}: expected numbers of devices")
    if values != sorted(set(values)) or (values and not 0 <= values[0] <= values[-1] < size):
        raise _bad(f"{name}: expected ascending numbers below {size}")
    return frozenset(values)


def _hex(header: dict[str, Any], name: str, size: int = DIGEST_BYTES) -> bytes:
    value = header[name]
    if not isinstance(value, str) or len(value) != 2 * size or set(value) - set("0123456789abcdef"):
        raise _bad(f"{name}: expected {size} bytes in hex")
    return bytes.fromhex(value)


def _bad(detail: str) -> PeerError:
    return PeerError(
        "BAD_MESSAGE", "A message of the round could not be read.", "Nothing was changed.", detail
    )
