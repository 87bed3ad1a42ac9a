"""Holds the secrets of one device in one round, and computes what depends on them.

1. They are in memory only. Every way out of the round calls `wipe`, which destroys them.
2. The device gives away one share of every dealer: of its self mask if the dealer survived, else of
   its pair masks. Never both.
3. It gives away the secret that it shares with one dealer only to accuse that dealer, and then it
   masks nothing in that round.
4. What is not used again dies at once: once all shares are read, the key that they were sealed for;
   with the masks, the key and the secret that make them; with the choice of survivors, the
   other share of each dealer. From then on the device could not give them away.
"""

from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from agent.protocol import codec
from agent.protocol.exchange_proof import prove
from agent.protocol.keys import pair_key, self_key, self_secret_digest
from agent.protocol.messages import RoundConfig
from agent.protocol.sealed_shares import commitments, open_shares, seal_shares
from agent.protocol.sharing import commitment, split
from agent.secagg.refusal import refused

SECRET_BYTES = 32


@dataclass(frozen=True)
class Group:
    """A checked group as one of its devices sees it."""

    context: bytes
    own: int
    """Number of this device: its place in the roster."""
    members: tuple[codec.Advertisement, ...]
    keys: tuple[EllipticCurvePublicKey, ...]
    """Certified keys, by number."""
    threshold: int
    """t: shares that open a secret, and signatures that a device wants before it unmasks."""
    fewest: int
    """Fewest dealers and survivors: the round's minimum or this device's own, if higher."""

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

    def deal(self, group: Group) -> codec.Dealing:
        """Split both secrets among the group; any `threshold` members can restore them.

        Raises PeerError ROSTER_KEY.
        """
        self_shares, pair_shares = (
            split(secret, group.threshold, group.size, self._entropy)
            for secret in (self._self_secret, self._masking.private_bytes_raw())
        )
        self._shares = {group.own: (self_shares[group.own], pair_shares[group.own])}
        return codec.Dealing(
            self_secret_digest(group.context, self._self_secret),
            tuple(
                self._seal(group, holder, self_shares[holder], pair_shares[holder])
                for holder in range(group.size)
            ),
        )

    def accept(self, group: Group, dealer: int, sealed: codec.SealedShares) -> bool:
        """Decrypt and keep the shares that `dealer` sent; return whether they can be read.

        Raises PeerError ROSTER_KEY.
        """
        secret = self._secret_with(group, dealer)
        try:
            self._shares[dealer] = open_shares(secret, group.context, dealer, group.own, sealed)
        except ValueError:
            return False
        return True

    def end_sealing(self) -> None:
        """Forget what opens sealed shares: all have been read, so this device accuses nobody."""
        del self._sealing, self._exchanged

    def accuse(self, group: Group, dealer: int) -> bytes:
        """Prove the secret that this device shares with `dealer` (rule 3).

        Raises ValueError for a dealer's key that is not usable.
        """
        context = codec.accusation_context(group.context, dealer, group.own)
        return prove(
            self._sealing.private_bytes_raw(),
            group.members[dealer].sealing_key,
            context,
            self._entropy,
        )

    def mask_keys(
        self, group: Group, dealers: frozenset[int], config: RoundConfig
    ) -> tuple[list[bytes], list[bytes]]:
        """Return the keys of the masks that this device adds, and of those that it subtracts.

        Forgets what they are made from. Raises PeerError ROSTER_KEY.
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
        del self._masking, self._self_secret
        return added, subtracted

    def choose(self, dealers: frozenset[int], survivors: frozenset[int]) -> None:
        """Keep the one share of each dealer that this device may give away (rule 2)."""
        self._chosen = {
            dealer: ("self", self._shares[dealer][0])
            if dealer in survivors
            else ("pair", self._shares[dealer][1])
            for dealer in sorted(dealers)
        }
        del self._shares

    def shares_to_open(self, group: Group) -> tuple[list[bytes], list[bytes]]:
        """Return the chosen shares, ascending by dealer, and the commitments to them."""
        published = [
            commitment(group.context, dealer, group.own, kind, share)
            for dealer, (kind, share) in self._chosen.items()
        ]
        return [share for _, share in self._chosen.values()], published

    def wipe(self) -> None:
        """Forget everything, the source of entropy included. Idempotent."""
        self.__dict__.clear()

    def _seal(
        self, group: Group, holder: int, self_share: bytes, pair_share: bytes
    ) -> codec.SealedShares:
        own, context = group.own, group.context
        if holder == own:
            published = commitments(context, own, own, self_share, pair_share)
            return codec.SealedShares(b"", *published)
        secret = self._secret_with(group, holder)
        return seal_shares(secret, context, own, holder, self_share, pair_share)

    def _secret_with(self, group: Group, peer: int) -> bytes:
        """Return the secret that seals shares between this device and `peer`, in both ways."""
        if peer not in self._exchanged:
            self._exchanged[peer] = _exchange(self._sealing, group.members[peer].sealing_key)
        return self._exchanged[peer]


def _exchange(private: X25519PrivateKey, public: bytes) -> bytes:
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as error:
        # An all-zero result: a point of small order (RFC 7748 §6.1).
        raise refused("ROSTER_KEY", "a member's key is unusable") from error
