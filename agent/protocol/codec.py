"""The messages of GroupSecAgg/1 as bytes: one envelope each, with a small header and fixed-size
records.

1. Messages before the groups are formed carry ctx_round, later ones ctx_group. `round_context` and
   `group_context` say what these bind.
2. A device's number is its index in the roster, which is sorted by device id.
3. Decoding checks sizes, order and context. The receiver decides whether keys, signatures and
   numbers are acceptable.
4. Every decoder raises PeerError BAD_MESSAGE or WRONG_CONTEXT.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from agent.errors import PeerError
from agent.protocol import envelope
from agent.protocol.canonical import canonical
from agent.protocol.field import ELEMENT_BYTES
from agent.protocol.limits import MAX_GROUP
from agent.protocol.messages import RoundConfig

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


@dataclass(frozen=True)
class Member:
    """An advertisement in a roster, with its position in the beacon's tree."""

    advertisement: Advertisement
    leaf: int
    siblings: tuple[bytes, ...]


@dataclass(frozen=True)
class Roster:
    """U1 of one group: the devices that advertised keys."""

    group: int
    groups: int
    advertised: int
    """Number of leaves in the beacon's tree."""
    beacon: bytes
    members: tuple[Member, ...]

    @property
    def digest(self) -> bytes:
        """H(U1)."""
        return sha256(b"".join(_record(member.advertisement) for member in self.members)).digest()


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


def round_context(config: RoundConfig) -> bytes:
    """Return ctx_round: it binds protocol, task, round, model and configuration."""
    names = ("protocol", "task_id", "round_id", "model_version", "model_digest")
    value = {**{name: getattr(config, name) for name in names}, "config_digest": config.digest}
    return sha256(canonical(value)).digest()


def group_context(context: bytes, roster: Roster) -> bytes:
    """Return ctx_group: it binds ctx_round, the group and all of its members."""
    return sha256(
        b"secagg/group-context" + context + canonical([roster.group, roster.groups]) + roster.digest
    ).digest()


def set_digest(numbers: Iterable[int]) -> bytes:
    """Return the digest of a set of devices."""
    return sha256(canonical(sorted(numbers))).digest()


def threshold(size: int, config: RoundConfig) -> int:
    """Return t, the number of shares that open a secret in a group of `size`.

    t > (size + colluders)/2, so an aggregator cannot show two different sets of survivors to two
    parts of the group and open both (Bonawitz et al. 2017: 2t > n + |C|).
    """
    colluders = -(-config.colluders * size // config.g_max)
    return (size + colluders) // 2 + 1


def min_survivors(size: int, config: RoundConfig) -> int:
    """Return the fewest devices with which a group of `size` may continue."""
    return max(config.min_sum, threshold(size, config))


# Advertise


def encode_advertisement(context: bytes, advertisement: Advertisement) -> bytes:
    return _encode("advertise", context, _record(advertisement))


def decode_advertisement(body: bytes, context: bytes) -> Advertisement:
    reader = _Reader(_decode(body, "advertise", context)[1])
    advertisement = reader.advertisement()
    reader.end()
    return advertisement


def encode_roster(context: bytes, roster: Roster) -> bytes:
    header = {
        "group": roster.group,
        "groups": roster.groups,
        "advertised": roster.advertised,
        "beacon": roster.beacon.hex(),
    }
    records = (
        _record(member.advertisement)
        + member.leaf.to_bytes(4, "big")
        + bytes([len(member.siblings)])
        + b"".join(member.siblings)
        for member in roster.members
    )
    return _encode("roster", context, b"".join(records), size=len(roster.members), **header)


def decode_roster(body: bytes, context: bytes) -> Roster:
    header, payload = _decode(
        body, "roster", context, "group", "groups", "advertised", "beacon", "size"
    )
    groups = _number(header, "groups", 1, _MAX_DEVICES)
    reader = _Reader(payload)
    members = []
    for _ in range(_number(header, "size", 1, MAX_GROUP)):
        advertisement = reader.advertisement()
        leaf = int.from_bytes(reader.take(4), "big")
        members.append(
            Member(
                advertisement,
                leaf,
                tuple(reader.take(DIGEST_BYTES) for _ in range(reader.take(1)[0])),
            )
        )
    reader.end()
    return Roster(
        group=_number(header, "group", 0, groups - 1),
        groups=groups,
        advertised=_number(header, "advertised", 1, _MAX_DEVICES),
        beacon=_hex(header, "beacon"),
        members=tuple(members),
    )


# Shares


def encode_dealing(context: bytes, own: int, dealing: Dealing) -> bytes:
    parts = [dealing.self_digest]
    for holder, shares in enumerate(dealing.to):
        parts += [shares.self_commitment, shares.pair_commitment] + (
            [] if holder == own else [shares.sealed]
        )
    return _encode("shares", context, b"".join(parts))


def decode_dealing(body: bytes, context: bytes, own: int, size: int) -> Dealing:
    reader = _Reader(_decode(body, "shares", context)[1])
    digest = reader.take(DIGEST_BYTES)
    to = []
    for holder in range(size):
        one, other = reader.take(DIGEST_BYTES), reader.take(DIGEST_BYTES)
        to.append(
            SealedShares(b"" if holder == own else reader.take(SEALED_SHARES_BYTES), one, other)
        )
    reader.end()
    return Dealing(digest, tuple(to))


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


# Masked input


@dataclass(frozen=True)
class MaskedInput:
    """An update under masks. Its header names the round in the same fields as a local update's."""

    header: dict[str, Any]
    words: bytes
    signature: bytes


def masked_statement(context: bytes, dealers: frozenset[int], words: bytes) -> bytes:
    """Return the bytes that a device signs with its masked input."""
    return _signed(b"masked", context, set_digest(dealers), sha256(words).digest())


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


def survivors_statement(
    context: bytes, dealers: frozenset[int], survivors: frozenset[int]
) -> bytes:
    """Return the bytes that a device signs about U2 and U3."""
    return _signed(b"survivors", context, set_digest(dealers), set_digest(survivors))


def encode_consistency(context: bytes, signature: bytes) -> bytes:
    return _encode("consistency", context, signature)


def decode_consistency(body: bytes, context: bytes) -> bytes:
    reader = _Reader(_decode(body, "consistency", context)[1])
    signature = reader.take(SIGNATURE_BYTES)
    reader.end()
    return signature


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


def encode_unmask(context: bytes, shares: Sequence[bytes]) -> bytes:
    """Encode one share for each dealer of U2, ascending: of its self mask if it is in U3, else of
    its pair masks.
    """
    return _encode("unmask", context, b"".join(shares))


def decode_unmask(body: bytes, context: bytes, count: int) -> tuple[bytes, ...]:
    reader = _Reader(_decode(body, "unmask", context)[1])
    shares = tuple(reader.take(ELEMENT_BYTES) for _ in range(count))
    reader.end()
    return shares


def encode_leave(context: bytes, reason: str, blamed: Sequence[str] = ()) -> bytes:
    """Encode a device's departure: a reason code, and the ids of devices whose shares were
    unreadable.
    """
    return _encode("leave", context, b"", reason=reason, blamed=sorted(blamed))


def decode_leave(body: bytes, context: bytes) -> tuple[str, tuple[str, ...]]:
    header, payload = _decode(body, "leave", context, "reason", "blamed")
    _Reader(payload).end()
    reason, blamed = header["reason"], header["blamed"]
    texts = [reason, *blamed] if isinstance(blamed, list) and len(blamed) <= MAX_GROUP else [None]
    if not all(isinstance(text, str) and len(text) <= MAX_ID_BYTES for text in texts):
        raise _bad("leave: expected a code and device ids")
    return reason, tuple(blamed)


def _signed(label: bytes, context: bytes, *parts: bytes) -> bytes:
    """Return the bytes to sign: the label, the context, and each part with its length."""
    return (
        b"secagg/"
        + label
        + b"\0"
        + context
        + b"".join(len(part).to_bytes(2, "big") + part for part in parts)
    )


def _record(advertisement: Advertisement) -> bytes:
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
