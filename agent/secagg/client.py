"""Plays the device's part in a round of GroupSecAgg/2, sans-IO: bytes in, bytes out.

Order of calls (agent.protocol.states.DEVICE is the table; anything else raises OUT_OF_TURN and
changes nothing):

    advertise() -> body               POST rounds/{id}/advertise
    shares(roster) -> body            POST rounds/{id}/shares; `roster`: inbox after advertise
    accept_shares(inbox) -> dealers   `inbox`: inbox after shares; the dealers whose shares cannot
                                      be read: normally none
    complaint(dealings) -> body       only if there are such dealers: POST rounds/{id}/complaint,
                                      and the round is over; `dealings`: inbox after shares of each
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
  ROSTER_KEY           a key that makes no secret (a point of small order), or in a second form
  ROSTER_SELF          this device is missing or its entry was changed
  ROSTER_CERTIFICATE   a certificate that the pinned authority did not issue to that device id, or
                       that is not valid now
  ROSTER_REVOKED       a revoked certificate
  ROSTER_SIGNATURE     keys that their certificate's owner did not sign for this round, model and
                       configuration
  ROSTER_LIST          the list of everybody who advertised is out of order, or this device is
                       missing
  ROSTER_WITNESS       a draw that the task's witness did not sign, or one with a witness of no task
  ROSTER_GROUP         members that are not exactly those that the draw gives
  DEALERS              this device is not among the dealers, or there are too few
  SHARE_UNREADABLE     shares that do not decrypt, do not match their commitments or are no elements
                       of the field
  SEALED_OTHER_ROUND   the worker sealed for another round
  SURVIVORS            not a subset of the dealers, this device missing, or fewer than the minimum
  SIGNATURES           too few valid signatures over the very set of survivors that this device
                       signed
  WRONG_CONTEXT        any message of another round, group, model or configuration
  BAD_MESSAGE, BAD_ENVELOPE, OUT_OF_TURN

It signs one set of survivors and unmasks once. So it gives away one kind of share for each dealer.
It accuses a dealer only over shares that this dealer signed. An honest dealer signs none that
cannot be read, so nobody's lies make an honest device give away a share of an honest device.
After a restart nothing of this is left: the device may only send its stored masked input again
(agent.transport.round_session).
"""

import datetime
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TypeVar

from agent.errors import PeerError
from agent.privacy.policy import DeviceLimits
from agent.protocol import codec, envelope
from agent.protocol.identities import Authority, verify_signature
from agent.protocol.messages import RoundConfig
from agent.protocol.states import DEVICE, DeviceEvent, DeviceState, LeaveReason, step
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

    @property
    def state(self) -> DeviceState:
        return self._state

    def advertise(self) -> bytes:
        """Generate the round's keys and sign them."""
        return self._step(DeviceEvent.JOIN, self._advertise)

    def shares(self, roster: bytes) -> bytes:
        """Check every member of the group, then deal shares of both secrets to them."""
        return self._step(DeviceEvent.ROSTER, partial(self._shares, roster))

    def accept_shares(self, inbox: bytes) -> tuple[int, ...]:
        """Check the dealers and decrypt every share now, while nothing is masked.

        Return the dealers whose shares cannot be read. If there are any, only `complaint` may
        follow.
        """
        unreadable = self._step(DeviceEvent.INBOX, partial(self._accept_shares, inbox))
        if unreadable:
            self._state, _ = step(DEVICE, self._state, DeviceEvent.UNREADABLE)
        return unreadable

    def complaint(self, dealings: Mapping[int, bytes]) -> bytes | None:
        """Accuse the dealers whose own signatures cover unreadable shares; None if there is none.

        `dealings`: the signed messages of the dealers that `accept_shares` named. The round is over
        for this device: its secrets are wiped.
        """
        body = self._step(DeviceEvent.DEALINGS, partial(self._complaint, dealings))
        self._secrets.wipe()
        return body

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

    def leave(self, reason: LeaveReason) -> bytes:
        """Leave the round; the body carries `reason` and no data."""
        if self._state is not DeviceState.LEFT:
            self._state, _ = step(DEVICE, self._state, DeviceEvent.GO)
        self._secrets.wipe()
        return codec.encode_leave(self._round_context, reason)

    def wipe(self) -> None:
        """Wipe the round's secrets. A round that is not finished is over."""
        if self._state is not DeviceState.UNMASKED:
            self._state = DeviceState.LEFT
        self._secrets.wipe()

    def _step(self, event: DeviceEvent, act: Callable[[], T]) -> T:
        after, _ = step(DEVICE, self._state, event)
        try:
            result = act()
        except BaseException:
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
        members = roster.members
        self._group = group = Group(
            context=codec.group_context(self._round_context, roster),
            own=members.index(self._own),
            members=members,
            keys=keys,
            threshold=codec.threshold(len(members), self._config),
            fewest=max(self._limits.min_sum, codec.min_survivors(len(members), self._config)),
        )
        dealing = self._secrets.deal(group)
        payload = codec.dealing_payload(group.own, dealing)
        signature = self._sign(codec.dealing_statement(group.context, payload))
        return codec.encode_dealing(group.context, group.own, replace(dealing, signature=signature))

    def _accept_shares(self, body: bytes) -> tuple[int, ...]:
        group = self._group
        dealers, dealt = codec.decode_inbox(body, group.context, group.own, group.size)
        if group.own not in dealers or len(dealers) < group.fewest:
            raise refused(
                "DEALERS",
                f"expected at least {group.fewest} dealers, this device among them, got"
                f" {len(dealers)}",
            )
        self._dealers = dealers
        self._unreadable = {
            dealer: sealed
            for dealer, sealed in dealt.items()
            if not self._secrets.accept(group, dealer, sealed)
        }
        if not self._unreadable:
            self._secrets.end_sealing()
        return tuple(self._unreadable)

    def _complaint(self, dealings: Mapping[int, bytes]) -> bytes | None:
        found = [
            self._accusation(dealer, sealed, dealings[dealer])
            for dealer, sealed in sorted(self._unreadable.items())
            if dealer in dealings
        ]
        accusations = [accusation for accusation in found if accusation is not None]
        if not accusations:
            return None
        context, complaint = self._group.context, codec.Complaint(tuple(accusations))
        signature = self._sign(codec.complaint_statement(context, complaint))
        return codec.encode_complaint(context, replace(complaint, signature=signature))

    def _accusation(
        self, dealer: int, sealed: codec.SealedShares, body: bytes
    ) -> codec.Accusation | None:
        """Accuse `dealer`, if `body` shows that it signed the shares that arrived."""
        group = self._group
        try:
            dealing = codec.decode_dealing(body, group.context, dealer, group.size)
            payload = codec.dealing_payload(dealer, dealing)
            statement = codec.dealing_statement(group.context, payload)
            is_signed = verify_signature(group.keys[dealer], dealing.signature, statement)
            # What it signed may be readable: then whoever carried the shares has changed them.
            if not is_signed or dealing.to[group.own] != sealed:
                return None
            digest = codec.dealing_digest(dealer, dealing)
            return codec.Accusation(dealer, digest, self._secrets.accuse(group, dealer))
        except (PeerError, ValueError):
            return None

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
            or len(survivors) < group.fewest
        ):
            raise refused(
                "SURVIVORS",
                f"expected at least {group.fewest} of the dealers, this device among them, got"
                f" {len(survivors)}",
            )
        self._survivors = survivors
        self._secrets.choose(self._dealers, survivors)
        self._agreement = codec.agreement(self._dealers, survivors)
        signature = self._sign(self._agreement.statement(group.context))
        agreement = replace(self._agreement, signature=signature)
        return codec.encode_consistency(group.context, agreement)

    def _unmask(self, body: bytes) -> bytes:
        group, agreement = self._group, self._agreement
        signatures = codec.decode_signatures(body, group.context, group.size)
        statement, valid = agreement.statement(group.context), 0
        for signer in sorted(signatures.keys() & self._survivors):
            valid += verify_signature(group.keys[signer], signatures[signer], statement)
            if valid == group.threshold:
                break
        if valid < group.threshold:
            raise refused(
                "SIGNATURES",
                f"expected {group.threshold} signatures over the same survivors, got {valid}",
            )
        shares, dealt = self._secrets.shares_to_open(group)
        signature = self._sign(codec.unmask_statement(group.context, agreement, dealt, dealt))
        return codec.encode_unmask(group.context, shares, signature)
