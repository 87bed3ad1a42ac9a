"""The device's part in a round of GroupSecAgg/1, sans-IO: bytes of the aggregator in, bytes to send
out.

Order of calls (agent.protocol.states.DEVICE is the table; anything else is refused with OUT_OF_TURN
and changes nothing):

    advertise() -> body                 POST rounds/{id}/advertise
    shares(roster) -> body              POST rounds/{id}/shares          `roster`: inbox after
                                        advertise
    accept_shares(inbox)                                                 `inbox`: inbox after shares
    mask(sealed) -> body                POST updates, after charge and outbox; `sealed`:
                                        agent.privacy.seal's envelope
    consistency(survivors) -> body      POST rounds/{id}/consistency     `survivors`: inbox after
                                        masked
    unmask(signatures) -> body          POST rounds/{id}/unmask          `signatures`: inbox after
                                        consistency
    leave(reason) -> body               POST rounds/{id}/leave, from every state before the end
    wipe()                              always last; idempotent

What the device refuses, whatever the aggregator says (each a PeerError code; a refusal ends the
round here and wipes its secrets):
  ROSTER_SIZE          fewer devices than this device's own minimum, or more than the round's most
  ROSTER_ORDER         not sorted by device id, or one id twice
  ROSTER_DUPLICATE     two members with one key
  ROSTER_KEY           a key that makes no secret (a point of small order)
  ROSTER_SELF          this device is missing or its entry was changed
  ROSTER_CERTIFICATE   a certificate that the pinned authority did not issue to that device id, or
                       not for now
  ROSTER_REVOKED       a revoked certificate
  ROSTER_SIGNATURE     keys that their certificate's owner did not sign for this round, model and
                       configuration
  ROSTER_GROUP         a member that the beacon did not draw into this group
  DEALERS              this device is not among the dealers, or there are too few
  SHARE_UNREADABLE     a share that does not decrypt or does not match its commitment (`blamed`
                       names the dealer)
  SEALED_OTHER_ROUND   the worker sealed for another round
  SURVIVORS            not a part of the dealers, this device missing, or fewer than the minimum
  SIGNATURES           too few valid signatures over the very set of survivors that this device
                       signed
  WRONG_CONTEXT        any message of another round, group, model or configuration
  BAD_MESSAGE, BAD_ENVELOPE, OUT_OF_TURN
It signs one set of survivors and answers one unmask in its life, and gives one kind of share for
each dealer, because it is told one set. After a restart nothing of it exists any more: the device
may only send its stored masked input again (agent.transport.round_session).
"""

import datetime
import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from agent.errors import AegisError, PeerError
from agent.privacy.policy import DeviceLimits
from agent.protocol import codec, envelope, merkle
from agent.protocol.field import ELEMENT_BYTES
from agent.protocol.identities import Authority, verify_signature
from agent.protocol.keys import derive, pair_key, self_key, self_secret_digest
from agent.protocol.messages import RoundConfig
from agent.protocol.sharing import commitment, split
from agent.protocol.states import DEVICE, DeviceEvent, DeviceState, step

T = TypeVar("T")
NO_NONCE = bytes(12)
"""A share key encrypts one message in its life: it belongs to one round, one sender and one
receiver."""


class Client:
    """One device in one round."""

    def __init__(
        self,
        config: RoundConfig,
        device_id: str,
        certificate_pem: str,
        ca_pem: str,
        sign: Callable[[bytes], bytes],
        *,
        limits: DeviceLimits,
        entropy: Callable[[int], bytes],
        now: int,
        revoked: frozenset[int] = frozenset(),
    ) -> None:
        """`sign`: ECDSA P-256 with SHA-256, 64 bytes r and s.

        `entropy`: bytes of the operating system. `revoked`: serial numbers.
        """
        self._config = config
        self._device_id = device_id
        self._authority = Authority(
            ca_pem, datetime.datetime.fromtimestamp(now, datetime.UTC), revoked
        )
        self._certificate = self._authority.der(certificate_pem)
        self._sign = sign
        self._limits = limits
        self._entropy = entropy
        self._context = codec.round_context(config)
        self._state = DeviceState.NEW
        self.blamed: tuple[str, ...] = ()
        """Ids of devices whose shares could not be read."""

    @property
    def state(self) -> DeviceState:
        return self._state

    def advertise(self) -> bytes:
        """Make the round's keys and sign them."""
        return self._turn(DeviceEvent.JOIN, self._advertise)

    def shares(self, roster: bytes) -> bytes:
        """Check everybody in the group, then deal shares of both secrets to them."""
        return self._turn(DeviceEvent.ROSTER, partial(self._shares, roster))

    def accept_shares(self, inbox: bytes) -> None:
        """Check the dealers and decrypt every share now, while a bad dealer can still be left
        out.
        """
        self._turn(DeviceEvent.INBOX, partial(self._accept_shares, inbox))

    def mask(self, sealed: bytes) -> bytes:
        """Add this device's masks to its sealed words."""
        return self._turn(DeviceEvent.SEALED, partial(self._mask, sealed))

    def consistency(self, survivors: bytes) -> bytes:
        """Sign the set of survivors, once."""
        return self._turn(DeviceEvent.SURVIVORS, partial(self._consistency, survivors))

    def unmask(self, signatures: bytes) -> bytes:
        """Give one share for each dealer, once; afterwards the secrets are gone."""
        answer = self._turn(DeviceEvent.SIGNATURES, partial(self._unmask, signatures))
        self._forget()
        return answer

    def leave(self, reason: str) -> bytes:
        """Go, and say so: a code, no data."""
        body = codec.encode_leave(codec.round_context(self._config), reason, self.blamed)
        if self._state is not DeviceState.LEFT:
            self._state, _ = step(DEVICE, self._state, DeviceEvent.GO)
        self._forget()
        return body

    def wipe(self) -> None:
        """Forget the round's secrets; whatever is not finished is over."""
        if self._state is not DeviceState.UNMASKED:
            self._state = DeviceState.LEFT
        self._forget()

    def _turn(self, event: DeviceEvent, act: Callable[[], T]) -> T:
        after, _ = step(DEVICE, self._state, event)
        try:
            answer = act()
        except AegisError:
            self.wipe()
            raise
        self._state = after
        return answer

    def _forget(self) -> None:
        for name in ("_sealing", "_masking", "_self_secret", "_sealing_secrets", "_held"):
            self.__dict__.pop(name, None)

    def _advertise(self) -> bytes:
        self._sealing, self._masking = (
            X25519PrivateKey.from_private_bytes(self._entropy(32)) for _ in range(2)
        )
        self._self_secret = self._entropy(32)
        self._sealing_secrets: dict[int, bytes] = {}
        unsigned = codec.Advertisement(
            self._device_id,
            self._entropy(32),
            self._sealing.public_key().public_bytes_raw(),
            self._masking.public_key().public_bytes_raw(),
            bytes(codec.SIGNATURE_BYTES),
            self._certificate,
        )
        self._own = replace(unsigned, signature=self._sign(unsigned.statement(self._context)))
        return codec.encode_advertisement(self._context, self._own)

    def _shares(self, body: bytes) -> bytes:
        roster = codec.decode_roster(body, self._context)
        self._check_roster(roster)
        self._members = [member.advertisement for member in roster.members]
        self._number = [member.device_id for member in self._members].index(self._device_id)
        self._context = codec.group_context(self._context, roster)
        size = len(self._members)
        needed = codec.threshold(size, self._config)
        self_shares = split(self._self_secret, needed, size, self._entropy)
        pair_shares = split(self._masking.private_bytes_raw(), needed, size, self._entropy)
        # (self share, pair share) that this device holds, by dealer.
        self._held = {self._number: (self_shares[self._number], pair_shares[self._number])}
        dealing = codec.Dealing(
            self_secret_digest(self._context, self._self_secret),
            tuple(
                self._sealed_for(holder, self_shares[holder], pair_shares[holder])
                for holder in range(size)
            ),
        )
        return codec.encode_dealing(self._context, self._number, dealing)

    def _sealed_for(self, holder: int, self_share: bytes, pair_share: bytes) -> codec.SealedShares:
        commitments = (
            commitment(self._context, self._number, holder, "self", self_share),
            commitment(self._context, self._number, holder, "pair", pair_share),
        )
        if holder == self._number:
            return codec.SealedShares(b"", *commitments)
        key, bound = self._share_key(self._number, holder)
        return codec.SealedShares(
            AESGCM(key).encrypt(NO_NONCE, self_share + pair_share, bound), *commitments
        )

    def _share_key(self, dealer: int, holder: int) -> tuple[bytes, bytes]:
        """Key and associated data of the shares on their way from `dealer` to `holder`; one of the
        two is this device.
        """
        peer = holder if dealer == self._number else dealer
        if peer not in self._sealing_secrets:
            self._sealing_secrets[peer] = self._exchange(
                self._sealing, self._members[peer].sealing_key
            )
        route = dealer.to_bytes(2, "big") + holder.to_bytes(2, "big")
        return (
            derive(self._sealing_secrets[peer], b"secagg/enc" + route, self._context),
            self._context + route + b"shares",
        )

    @staticmethod
    def _exchange(private: X25519PrivateKey, public: bytes) -> bytes:
        try:
            return private.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError as error:
            # An all-zero result: a point of small order (RFC 7748 §6.1).
            raise _refused("ROSTER_KEY", "a member's key is not a usable one") from error

    def _check_roster(self, roster: codec.Roster) -> None:
        """U1: the group that this device is about to trust with its masks."""
        members = [member.advertisement for member in roster.members]
        least = max(self._limits.min_group, self._config.min_group)
        if not least <= len(members) <= self._config.g_max:
            raise _refused(
                "ROSTER_SIZE",
                f"expected {least} to {self._config.g_max} devices in the group, got"
                f" {len(members)}",
            )
        ids = [member.device_id for member in members]
        if any(one >= other for one, other in itertools.pairwise(ids)):
            raise _refused("ROSTER_ORDER", "its members are not in order or one is there twice")
        if self._own not in members:
            raise _refused("ROSTER_SELF", "this device's own entry is missing or was changed")
        keys = [key for member in members for key in (member.sealing_key, member.masking_key)]
        if len(set(keys)) != len(keys):
            raise _refused("ROSTER_DUPLICATE", "two members have the same key")
        self._check_beacon(roster)
        self._check_identities(members)

    def _check_beacon(self, roster: codec.Roster) -> None:
        if roster.groups == 1:
            leaves = [
                merkle.leaf(member.advertisement.device_id, member.advertisement.nonce)
                for member in roster.members
            ]
            if roster.advertised != len(leaves) or merkle.root(leaves) != roster.beacon:
                raise _refused(
                    "ROSTER_GROUP",
                    "the only group of the round does not hold everybody who advertised",
                )
            return
        for member in roster.members:
            advertisement = member.advertisement
            leaf = merkle.leaf(advertisement.device_id, advertisement.nonce)
            try:
                reached = merkle.root_of(leaf, member.leaf, roster.advertised, member.siblings)
            except ValueError as error:
                raise _refused(
                    "ROSTER_GROUP", "a proof of membership has the wrong length"
                ) from error
            if (
                reached != roster.beacon
                or merkle.group_of(roster.beacon, advertisement.device_id, roster.groups)
                != roster.group
            ):
                raise _refused(
                    "ROSTER_GROUP", "a member was not drawn into this group by the round's beacon"
                )

    def _check_identities(self, members: list[codec.Advertisement]) -> None:
        self._keys = []
        seen = set()
        for member in members:
            key = self._authority.key_of(member.certificate, member.device_id)
            public = key.public_numbers()
            seen.add((public.x, public.y))
            self._keys.append(key)
            if member is not self._own and not verify_signature(
                key, member.signature, member.statement(self._context)
            ):
                raise _refused(
                    "ROSTER_SIGNATURE",
                    "a member's keys are not signed by its certificate for this round",
                )
        if len(seen) != len(members):
            raise _refused("ROSTER_DUPLICATE", "two members have the same certified key")

    def _accept_shares(self, body: bytes) -> None:
        size = len(self._members)
        dealers, shares = codec.decode_inbox(body, self._context, self._number, size)
        if self._number not in dealers or len(dealers) < self._fewest():
            raise _refused(
                "DEALERS",
                f"expected at least {self._fewest()} dealers, this device among them, got"
                f" {len(dealers)}",
            )
        self._dealers = dealers
        for dealer, sealed in shares.items():
            self._held[dealer] = self._opened(dealer, sealed)

    def _opened(self, dealer: int, sealed: codec.SealedShares) -> tuple[bytes, bytes]:
        key, bound = self._share_key(dealer, self._number)
        try:
            both = AESGCM(key).decrypt(NO_NONCE, sealed.sealed, bound)
        except InvalidTag:
            both = b""
        self_share, pair_share = both[:ELEMENT_BYTES], both[ELEMENT_BYTES:]
        wanted = (
            commitment(self._context, dealer, self._number, "self", self_share),
            commitment(self._context, dealer, self._number, "pair", pair_share),
        )
        if wanted != (sealed.self_commitment, sealed.pair_commitment):
            self.blamed = (self._members[dealer].device_id,)
            raise _refused(
                "SHARE_UNREADABLE",
                "a member's shares cannot be read or do not match what it committed to",
            )
        return self_share, pair_share

    def _fewest(self) -> int:
        """The least number of dealers and of survivors: the round's, and this device's own."""
        return max(self._limits.min_sum, codec.fewest(len(self._members), self._config))

    def _mask(self, sealed: bytes) -> bytes:
        # numpy comes into the process here, not before the first round.
        from agent.privacy.zcdp import sent_words
        from agent.protocol.masking import apply
        from agent.protocol.packing import pack, unpack

        config = self._config
        read = envelope.decode(sealed)
        said = tuple(
            read.header.get(name)
            for name in ("kind", "task_id", "round_id", "config_digest", "d", "bits")
        )
        if said != (
            "sealed-words",
            config.task_id,
            config.round_id,
            config.digest,
            config.d,
            config.bits,
        ):
            raise _refused("SEALED_OTHER_ROUND", "the update was sealed for another one")
        words = unpack(read.payload, config.bits, sent_words(config))
        peers = {
            peer: pair_key(
                self._exchange(self._masking, self._members[peer].masking_key),
                self._context,
                self._number,
                peer,
                config.model_digest,
                config.digest,
            )
            for peer in sorted(self._dealers - {self._number})
        }
        added = [
            self_key(self._self_secret, self._context, self._number),
            *(key for peer, key in peers.items() if peer > self._number),
        ]
        apply(words, added, [key for peer, key in peers.items() if peer < self._number])
        packed = pack(words, config.bits)
        signature = self._sign(codec.masked_statement(self._context, self._dealers, packed))
        return codec.encode_masked(self._context, read.header, packed, signature)

    def _consistency(self, body: bytes) -> bytes:
        survivors = codec.decode_survivors(body, self._context, len(self._members))
        if (
            not survivors <= self._dealers
            or self._number not in survivors
            or len(survivors) < self._fewest()
        ):
            raise _refused(
                "SURVIVORS",
                f"expected at least {self._fewest()} of the dealers, this device among them, got"
                f" {len(survivors)}",
            )
        self._survivors = survivors
        return codec.encode_consistency(self._context, self._sign(self._agreed()))

    def _agreed(self) -> bytes:
        return codec.survivors_statement(self._context, self._dealers, self._survivors)

    def _unmask(self, body: bytes) -> bytes:
        signatures = codec.decode_signatures(body, self._context, len(self._members))
        needed, valid, agreed = codec.threshold(len(self._members), self._config), 0, self._agreed()
        for signer in sorted(signatures.keys() & self._survivors):
            valid += verify_signature(self._keys[signer], signatures[signer], agreed)
            if valid == needed:
                break
        if valid < needed:
            raise _refused(
                "SIGNATURES", f"expected {needed} signatures over the same survivors, got {valid}"
            )
        # One kind for each dealer: a self share for who survived, a pair share for who did not.
        # Never both.
        return codec.encode_unmask(
            self._context,
            [self._held[dealer][dealer not in self._survivors] for dealer in sorted(self._dealers)],
        )


def _refused(code: str, reason: str) -> PeerError:
    return PeerError(
        code,
        f"This device left the round: {reason}.",
        "Nothing of the update can be read. Tell the operator.",
    )
