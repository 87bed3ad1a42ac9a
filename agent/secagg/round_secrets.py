"""Holds the secrets of one device in one round, and computes what depends on them.

1. They are in memory only. Every way out of the round calls `wipe`, which destroys them.
2. A share key encrypts a single message: it belongs to one round, one sender and one receiver.
3. The device gives away one share of every dealer: of its self mask if the dealer survived, else of
   its pair masks. Never both.
"""

from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from agent.protocol import codec
from agent.protocol.field import ELEMENT_BYTES
from agent.protocol.keys import derive, pair_key, self_key, self_secret_digest
from agent.protocol.messages import RoundConfig
from agent.protocol.sharing import commitment, split
from agent.secagg.refusal import refused

SECRET_BYTES = 32
NO_NONCE = bytes(12)
"""Rule 2 makes a nonce unnecessary."""


@dataclass(frozen=True)
class Group:
    """A checked group as one of its devices sees it."""

    context: bytes
    own: int
    """Number of this device: its place in the roster."""
    members: tuple[codec.Advertisement, ...]
    keys: tuple[EllipticCurvePublicKey, ...]
    """Certified keys, by number."""

    @property
    def size(self) -> int:
        return len(self.members)


class RoundSecrets:
    """Holds nothing before `generate` and nothing after `wipe`."""

    def __init__(self, entropy: Callable[[int], bytes]) -> None:
        self._entropy = entropy

    def generate(self) -> None:
        """Generate the keys of the round."""
        self._sealing, self._masking = (
            X25519PrivateKey.from_private_bytes(self._entropy(SECRET_BYTES)) for _ in range(2)
        )
        self._self_secret = self._entropy(SECRET_BYTES)
        self._exchanged: dict[int, bytes] = {}
        """Secrets shared with each peer for sealing, by number."""
        self._shares: dict[int, tuple[bytes, bytes]] = {}
        """Self share and pair share that this device holds, by dealer."""

    @property
    def sealing_key(self) -> bytes:
        """The public key that shares are encrypted for."""
        return self._sealing.public_key().public_bytes_raw()

    @property
    def masking_key(self) -> bytes:
        """The public key that pair masks are agreed with."""
        return self._masking.public_key().public_bytes_raw()

    def deal(self, group: Group, threshold: int) -> codec.Dealing:
        """Split both secrets among the group; any `threshold` members can restore them.

        Raises PeerError ROSTER_KEY.
        """
        self_shares = split(self._self_secret, threshold, group.size, self._entropy)
        pair_shares = split(self._masking.private_bytes_raw(), threshold, group.size, self._entropy)
        self._shares = {group.own: (self_shares[group.own], pair_shares[group.own])}
        return codec.Dealing(
            self_secret_digest(group.context, self._self_secret),
            tuple(
                self._seal(group, holder, self_shares[holder], pair_shares[holder])
                for holder in range(group.size)
            ),
        )

    def accept(self, group: Group, dealer: int, sealed: codec.SealedShares) -> None:
        """Decrypt and keep the shares that `dealer` sent, which must match its commitments.

        Raises PeerError SHARE_UNREADABLE.
        """
        key, bound = self._share_key(group, dealer, group.own)
        try:
            both = AESGCM(key).decrypt(NO_NONCE, sealed.sealed, bound)
        except InvalidTag:
            both = b""
        self_share, pair_share = both[:ELEMENT_BYTES], both[ELEMENT_BYTES:]
        expected = (
            commitment(group.context, dealer, group.own, "self", self_share),
            commitment(group.context, dealer, group.own, "pair", pair_share),
        )
        if expected != (sealed.self_commitment, sealed.pair_commitment):
            raise refused(
                "SHARE_UNREADABLE",
                "a member's shares cannot be read or do not match its commitments",
            )
        self._shares[dealer] = (self_share, pair_share)

    def mask_keys(
        self, group: Group, dealers: frozenset[int], config: RoundConfig
    ) -> tuple[list[bytes], list[bytes]]:
        """Return the keys of the masks that this device adds, and of those that it subtracts.

        Raises PeerError ROSTER_KEY.
        """
        added = [self_key(self._self_secret, group.context, group.own)]
        subtracted: list[bytes] = []
        for peer in sorted(dealers - {group.own}):
            key = pair_key(
                _exchange(self._masking, group.members[peer].masking_key),
                group.context,
                group.own,
                peer,
                config.model_digest,
                config.digest,
            )
            (added if peer > group.own else subtracted).append(key)
        return added, subtracted

    def share_to_open(self, dealer: int, *, survived: bool) -> bytes:
        """Return the one share of `dealer` that this device gives away (rule 3)."""
        self_share, pair_share = self._shares[dealer]
        return self_share if survived else pair_share

    def wipe(self) -> None:
        """Forget everything, the source of entropy included. Idempotent."""
        self.__dict__.clear()

    def _seal(
        self, group: Group, holder: int, self_share: bytes, pair_share: bytes
    ) -> codec.SealedShares:
        commitments = (
            commitment(group.context, group.own, holder, "self", self_share),
            commitment(group.context, group.own, holder, "pair", pair_share),
        )
        if holder == group.own:
            return codec.SealedShares(b"", *commitments)
        key, bound = self._share_key(group, group.own, holder)
        return codec.SealedShares(
            AESGCM(key).encrypt(NO_NONCE, self_share + pair_share, bound), *commitments
        )

    def _share_key(self, group: Group, dealer: int, holder: int) -> tuple[bytes, bytes]:
        """Return key and associated data for the shares that `dealer` sends to `holder`.

        One of the two is this device.
        """
        peer = holder if dealer == group.own else dealer
        if peer not in self._exchanged:
            self._exchanged[peer] = _exchange(self._sealing, group.members[peer].sealing_key)
        route = dealer.to_bytes(2, "big") + holder.to_bytes(2, "big")
        return (
            derive(self._exchanged[peer], b"secagg/enc" + route, group.context),
            group.context + route + b"shares",
        )


def _exchange(private: X25519PrivateKey, public: bytes) -> bytes:
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as error:
        # An all-zero result: a point of small order (RFC 7748 §6.1).
        raise refused("ROSTER_KEY", "a member's key is unusable") from error
