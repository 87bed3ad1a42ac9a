"""Checks what the devices of a group send, and keeps it until the sum is open.

1. A dealing must be signed by its dealer and have the agreed form. Its shares are encrypted, so
   more cannot be checked here.
2. A masked input must be signed by its device for this group and this set of dealers, and hold
   words of the round's size.
3. A consistency signature must be over the survivors that the aggregator announced.
4. A share must match the commitment that its dealer published for the device that returns it.

A device that sends something else is at fault: SenderFaultError. There is a proof where the device
signed what is wrong; a wrong signature proves nothing to others.
"""

from dataclasses import replace

from agent.errors import PeerError
from agent.privacy.zcdp import sent_words
from agent.protocol import codec
from agent.protocol.identities import verify_signature
from agent.protocol.packing import packed_bytes, unpack
from agent.protocol.sharing import commitment
from server_stub.quarantine.evidence import Proof
from server_stub.secagg import evidence
from server_stub.secagg.drawn_group import DrawnGroup
from server_stub.secagg.refusals import round_closed


class SenderFaultError(PeerError):
    """The sender alone caused this. `proof`: shows it to others, where there is one."""

    def __init__(self, code: str, message: str, proof: Proof | None = None) -> None:
        super().__init__(code, message, "Nothing was changed.")
        self.proof = proof


class Contributions:
    """The messages of one group, by device number; each is checked before it is kept."""

    def __init__(self, group: DrawnGroup) -> None:
        self._group = group
        self.dealings: dict[int, codec.Dealing] = {}
        self.inputs: dict[int, bytes] = {}
        """Masked words as they were packed."""
        self.signatures: dict[int, bytes] = {}
        self.shares: dict[int, dict[int, bytes]] = {}
        """Returned shares: by the device that returned them, then by dealer."""
        self.dealers: frozenset[int] = frozenset()
        """U2; empty until it is fixed."""
        self.survivors: frozenset[int] = frozenset()
        """U3; empty until it is fixed."""
        self.announced_signatures: dict[int, bytes] = {}
        """The signatures that every survivor is shown; empty until they are fixed."""
        self._agreements: dict[int, codec.Agreement] = {}
        """The first sets that each device signed."""

    def counts(self) -> dict[str, int]:
        """Devices per phase; the difference between two phases is the number that dropped out."""
        return {
            "advertised": self._group.size,
            "shared": len(self.dealings),
            "masked": len(self.survivors or self.inputs),
            "signed": len(self.signatures),
            "unmasked": len(self.shares),
        }

    def add_dealing(self, number: int, body: bytes) -> None:
        """Raises PeerError BAD_MESSAGE, WRONG_CONTEXT; SenderFaultError SHARES_SIGNATURE,
        WRONG_LENGTH.
        """
        group = self._group
        payload, signature = codec.signed_dealing(body, group.context)
        statement = codec.dealing_statement(group.context, payload)
        if not verify_signature(group.keys[number], signature, statement):
            raise SenderFaultError("SHARES_SIGNATURE", "The shares are not signed by their dealer.")
        if len(payload) != codec.dealing_bytes(group.size):
            raise _wrong_length(evidence.length(group, number, "shares", payload, signature))
        self.dealings[number] = codec.decode_dealing(body, group.context, number, group.size)

    def add_input(self, number: int, body: bytes) -> None:
        """Raises PeerError ROUND_CLOSED, BAD_MESSAGE, WRONG_CONTEXT, WRONG_SHAPE; SenderFaultError
        MASKED_SIGNATURE, WRONG_LENGTH.
        """
        if number not in self.dealers:
            raise round_closed("This device dealt no shares in time.")
        group = self._group
        masked = codec.decode_masked(body, group.context, group.config)
        # The signature covers the dealers too: with another set of them the masks do not cancel.
        statement = codec.masked_statement(group.context, self.dealers, masked.words)
        if not verify_signature(group.keys[number], masked.signature, statement):
            raise SenderFaultError(
                "MASKED_SIGNATURE", "The masked update is not signed for these dealers."
            )
        count, bits = sent_words(group.config), group.config.bits
        if len(masked.words) != packed_bytes(count, bits):
            signed = (masked.words, masked.signature, self.dealers)
            raise _wrong_length(evidence.length(group, number, "masked", *signed))
        # Only a check of the form: the packed words are kept, which take up to half the memory.
        unpack(masked.words, bits, count)
        self.inputs[number] = masked.words

    def add_signature(self, number: int, body: bytes) -> None:
        """Raises PeerError BAD_MESSAGE, WRONG_CONTEXT; SenderFaultError CONSISTENCY_SIGNATURE,
        SURVIVORS_TWICE.
        """
        group = self._group
        agreement = codec.decode_consistency(body, group.context)
        self.require_one_agreement(number, agreement)
        sets = codec.agreement(self.dealers, self.survivors)
        if number not in self.survivors or replace(agreement, signature=b"") != sets:
            raise _other_survivors()
        self.signatures[number] = agreement.signature

    def require_one_agreement(self, number: int, agreement: codec.Agreement) -> None:
        """Raises SenderFaultError CONSISTENCY_SIGNATURE, or SURVIVORS_TWICE when the device signed
        other sets before.
        """
        group = self._group
        statement = agreement.statement(group.context)
        if not verify_signature(group.keys[number], agreement.signature, statement):
            raise _other_survivors()
        first = self._agreements.setdefault(number, agreement)
        if replace(first, signature=b"") != replace(agreement, signature=b""):
            raise SenderFaultError(
                "SURVIVORS_TWICE",
                "The device signed two different sets of survivors.",
                evidence.agreements(group, number, first, agreement),
            )

    def add_shares(self, number: int, body: bytes) -> None:
        """Keep returned shares. Raises like `checked_shares`."""
        self.shares[number] = self.checked_shares(number, body)

    def checked_shares(self, number: int, body: bytes) -> dict[int, bytes]:
        """The shares that a device returned, by dealer.

        Raises PeerError ROUND_CLOSED, BAD_MESSAGE, WRONG_CONTEXT; SenderFaultError SHARE_FALSE.
        """
        if number not in self.survivors:
            raise round_closed("This device is not among the survivors.")
        group, dealers = self._group, sorted(self.dealers)
        shares, signature = codec.decode_unmask(body, group.context, len(dealers))
        dealt, returned = [], []
        for dealer, share in zip(dealers, shares, strict=True):
            # A survivor's self-mask secret is opened, or a missing device's masking key. With both,
            # the aggregator could unmask that device's input alone.
            kind = "self" if dealer in self.survivors else "pair"
            published = self.dealings[dealer].to[number]
            dealt.append(published.self_commitment if kind == "self" else published.pair_commitment)
            returned.append(commitment(group.context, dealer, number, kind, share))
        if returned != dealt:
            raise SenderFaultError(
                "SHARE_FALSE",
                "A share is not the one that was dealt.",
                self._false_share(number, dealt, returned, signature),
            )
        return dict(zip(dealers, shares, strict=True))

    def _false_share(
        self, number: int, dealt: list[bytes], returned: list[bytes], signature: bytes
    ) -> Proof | None:
        """The proof, if the device signed what it returned. Otherwise nobody else can check it."""
        sets = codec.agreement(self.dealers, self.survivors)
        try:
            return evidence.share(self._group, number, sets, dealt, returned, signature)
        except PeerError:
            return None

    def remove_dealing(self, number: int) -> None:
        self.dealings.pop(number, None)

    def remove_input(self, number: int) -> None:
        self.inputs.pop(number, None)

    def fix_dealers(self) -> None:
        self.dealers = frozenset(self.dealings)

    def fix_survivors(self) -> None:
        self.survivors = frozenset(self.inputs)

    def announce_signatures(self) -> None:
        """Fix the signatures: one that arrives later is kept, but every survivor sees the same
        set.
        """
        self.announced_signatures = dict(self.signatures)

    def discard_secrets(self) -> None:
        """Delete masked inputs and shares. The counts of shares stay."""
        # They have no further use, and what is not stored cannot leak.
        self.inputs, self.shares = {}, {number: {} for number in self.shares}


def _wrong_length(proof: Proof) -> SenderFaultError:
    return SenderFaultError("WRONG_LENGTH", "A message has a wrong length.", proof)


def _other_survivors() -> SenderFaultError:
    return SenderFaultError("CONSISTENCY_SIGNATURE", "The signature is not over these survivors.")
