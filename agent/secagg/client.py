"""Plays the device's part in a round of GroupSecAgg/1, sans-IO: bytes in, bytes out.

Order of calls (agent.protocol.states.DEVICE is the table; anything else raises OUT_OF_TURN and
changes nothing):

    advertise() -> body               POST rounds/{id}/advertise
    shares(roster) -> body            POST rounds/{id}/shares; `roster`: inbox after advertise
    accept_shares(inbox)              `inbox`: inbox after shares
    mask(sealed) -> body              POST updates, after charge and outbox; `sealed`: the envelope
                                      of agent.privacy.seal
    consistency(survivors) -> body    POST rounds/{id}/consistency; `survivors`: inbox after masked
    unmask(signatures) -> body        POST rounds/{id}/unmask; `signatures`: inbox after consistency
    leave(reason) -> body             POST rounds/{id}/leave, from every state before the end
    wipe()                            always last; idempotent

What the device refuses (each a PeerError code; a refusal ends the round on this device and wipes
its secrets):

  ROSTER_SIZE          fewer members than this device's own minimum, or more than the round's
                       maximum
  ROSTER_ORDER         not sorted by device id, or one id twice
  ROSTER_DUPLICATE     two members with one key
  ROSTER_KEY           a key that makes no secret (a point of small order)
  ROSTER_SELF          this device is missing or its entry was changed
  ROSTER_CERTIFICATE   a certificate that the pinned authority did not issue to that device id, or
                       that is not valid now
  ROSTER_REVOKED       a revoked certificate
  ROSTER_SIGNATURE     keys that their certificate's owner did not sign for this round, model and
                       configuration
  ROSTER_GROUP         a member that the beacon did not draw into this group
  DEALERS              this device is not among the dealers, or there are too few
  SHARE_UNREADABLE     a share that does not decrypt or does not match its commitment (`blamed`
                       names the dealer)
  SEALED_OTHER_ROUND   the worker sealed for another round
  SURVIVORS            not a subset of the dealers, this device missing, or fewer than the minimum
  SIGNATURES           too few valid signatures over the very set of survivors that this device
                       signed
  WRONG_CONTEXT        any message of another round, group, model or configuration
  BAD_MESSAGE, BAD_ENVELOPE, OUT_OF_TURN

It signs one set of survivors and unmasks once. So it gives away one kind of share for each dealer.
After a restart nothing of this is left: the device may only send its stored masked input again
(agent.transport.round_session).
"""

import datetime
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from agent.errors import AegisError, PeerError
from agent.privacy.policy import DeviceLimits
from agent.protocol import codec, envelope
from agent.protocol.identities import Authority, verify_signature
from agent.protocol.messages import RoundConfig
from agent.protocol.states import DEVICE, DeviceEvent, DeviceState, step
from agent.secagg.refusal import refused
from agent.secagg.roster_check import RosterCheck
from agent.secagg.round_secrets import Group, RoundSecrets

T = TypeVar("T")
ADVERTISED_NONCE_BYTES = 32


class SecaggClient:
    """The state machine of one device in one round."""

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
        """`sign` makes ECDSA signatures (P-256, SHA-256; r and s, 64 bytes).

        `entropy` gives random bytes of the operating system. `now`: seconds since the epoch.
        `revoked`: serial numbers of certificates.
        """
        authority = Authority(ca_pem, datetime.datetime.fromtimestamp(now, datetime.UTC), revoked)
        self._config = config
        self._device_id = device_id
        self._certificate = authority.der(certificate_pem)
        self._sign = sign
        self._limits = limits
        self._entropy = entropy
        self._round_context = codec.round_context(config)
        self._roster_check = RosterCheck(config, limits, authority, self._round_context)
        self._secrets = RoundSecrets(entropy)
        self._state = DeviceState.NEW
        self.blamed: tuple[str, ...] = ()
        """Ids of devices whose shares could not be read."""

    @property
    def state(self) -> DeviceState:
        return self._state

    def advertise(self) -> bytes:
        """Generate the round's keys and sign them."""
        return self._step(DeviceEvent.JOIN, self._advertise)

    def shares(self, roster: bytes) -> bytes:
        """Check every member of the group, then deal shares of both secrets to them."""
        return self._step(DeviceEvent.ROSTER, partial(self._shares, roster))

    def accept_shares(self, inbox: bytes) -> None:
        """Check the dealers and decrypt every share now, while a bad dealer can be left out."""
        self._step(DeviceEvent.INBOX, partial(self._accept_shares, inbox))

    def mask(self, sealed: bytes) -> bytes:
        """Add this device's masks to its sealed words."""
        return self._step(DeviceEvent.SEALED, partial(self._mask, sealed))

    def consistency(self, survivors: bytes) -> bytes:
        """Sign the set of survivors, once."""
        return self._step(DeviceEvent.SURVIVORS, partial(self._consistency, survivors))

    def unmask(self, signatures: bytes) -> bytes:
        """Give away one share of each dealer, once. Afterwards the secrets are wiped."""
        body = self._step(DeviceEvent.SIGNATURES, partial(self._unmask, signatures))
        self._secrets.wipe()
        return body

    def leave(self, reason: str) -> bytes:
        """Leave the round; the body carries `reason`, a code, and no data."""
        body = codec.encode_leave(self._round_context, reason, self.blamed)
        if self._state is not DeviceState.LEFT:
            self._state, _ = step(DEVICE, self._state, DeviceEvent.GO)
        self._secrets.wipe()
        return body

    def wipe(self) -> None:
        """Wipe the round's secrets. A round that is not finished is over."""
        if self._state is not DeviceState.UNMASKED:
            self._state = DeviceState.LEFT
        self._secrets.wipe()

    def _step(self, event: DeviceEvent, act: Callable[[], T]) -> T:
        after, _ = step(DEVICE, self._state, event)
        try:
            result = act()
        except AegisError:
            self.wipe()
            raise
        self._state = after
        return result

    def _advertise(self) -> bytes:
        self._secrets.generate()
        unsigned = codec.Advertisement(
            self._device_id,
            self._entropy(ADVERTISED_NONCE_BYTES),
            self._secrets.sealing_key,
            self._secrets.masking_key,
            bytes(codec.SIGNATURE_BYTES),
            self._certificate,
        )
        self._own = replace(unsigned, signature=self._sign(unsigned.statement(self._round_context)))
        return codec.encode_advertisement(self._round_context, self._own)

    def _shares(self, body: bytes) -> bytes:
        roster = codec.decode_roster(body, self._round_context)
        keys = self._roster_check.certified_keys(roster, self._own)
        members = tuple(member.advertisement for member in roster.members)
        self._group = Group(
            context=codec.group_context(self._round_context, roster),
            own=members.index(self._own),
            members=members,
            keys=keys,
        )
        dealing = self._secrets.deal(self._group, self._threshold())
        return codec.encode_dealing(self._group.context, self._group.own, dealing)

    def _accept_shares(self, body: bytes) -> None:
        group = self._group
        dealers, shares = codec.decode_inbox(body, group.context, group.own, group.size)
        if group.own not in dealers or len(dealers) < self._fewest():
            raise refused(
                "DEALERS",
                f"expected at least {self._fewest()} dealers, this device among them, got"
                f" {len(dealers)}",
            )
        self._dealers = dealers
        for dealer, sealed in shares.items():
            try:
                self._secrets.accept(group, dealer, sealed)
            except PeerError as error:
                if error.code == "SHARE_UNREADABLE":
                    self.blamed = (group.members[dealer].device_id,)
                raise

    def _mask(self, sealed: bytes) -> bytes:
        # numpy comes into the process here, not before the first round.
        from agent.privacy.zcdp import sent_words
        from agent.protocol.masking import apply
        from agent.protocol.packing import pack, unpack

        config, group = self._config, self._group
        update = envelope.decode(sealed)
        names = ("kind", "task_id", "round_id", "config_digest", "d", "bits")
        if tuple(update.header.get(name) for name in names) != (
            "sealed-words",
            config.task_id,
            config.round_id,
            config.digest,
            config.d,
            config.bits,
        ):
            raise refused("SEALED_OTHER_ROUND", "the update was sealed for another round")
        words = unpack(update.payload, config.bits, sent_words(config))
        added, subtracted = self._secrets.mask_keys(group, self._dealers, config)
        apply(words, added, subtracted)
        packed = pack(words, config.bits)
        signature = self._sign(codec.masked_statement(group.context, self._dealers, packed))
        return codec.encode_masked(group.context, update.header, packed, signature)

    def _consistency(self, body: bytes) -> bytes:
        group = self._group
        survivors = codec.decode_survivors(body, group.context, group.size)
        if (
            not survivors <= self._dealers
            or group.own not in survivors
            or len(survivors) < self._fewest()
        ):
            raise refused(
                "SURVIVORS",
                f"expected at least {self._fewest()} of the dealers, this device among them, got"
                f" {len(survivors)}",
            )
        self._survivors = survivors
        return codec.encode_consistency(group.context, self._sign(self._survivors_statement()))

    def _unmask(self, body: bytes) -> bytes:
        group, needed = self._group, self._threshold()
        signatures = codec.decode_signatures(body, group.context, group.size)
        statement, valid = self._survivors_statement(), 0
        for signer in sorted(signatures.keys() & self._survivors):
            valid += verify_signature(group.keys[signer], signatures[signer], statement)
            if valid == needed:
                break
        if valid < needed:
            raise refused(
                "SIGNATURES", f"expected {needed} signatures over the same survivors, got {valid}"
            )
        return codec.encode_unmask(
            group.context,
            [
                self._secrets.share_to_open(dealer, survived=dealer in self._survivors)
                for dealer in sorted(self._dealers)
            ],
        )

    def _threshold(self) -> int:
        return codec.threshold(self._group.size, self._config)

    def _fewest(self) -> int:
        """Fewest dealers and survivors: the round's minimum or this device's own, if higher."""
        return max(self._limits.min_sum, codec.min_survivors(self._group.size, self._config))

    def _survivors_statement(self) -> bytes:
        return codec.survivors_statement(self._group.context, self._dealers, self._survivors)
