"""Checks what the devices of a group send, and keeps it until the sum is open.

1. A dealing must have the agreed form; its shares are encrypted, so more cannot be checked here.
2. A masked input must be signed by its device for this group and this set of dealers, and hold
   words of the round's size.
3. A consistency signature must be over the survivors that the aggregator announced.
4. A share must match the commitment that its dealer published for the device that returns it.

A device that breaks 2, 3 or 4 sent something provably wrong: SenderFaultError.
"""

from agent.errors import PeerError
from agent.privacy.zcdp import sent_words
from agent.protocol import codec
from agent.protocol.identities import verify_signature
from agent.protocol.packing import unpack
from agent.protocol.sharing import commitment
from server_stub.secagg.drawn_group import DrawnGroup
from server_stub.secagg.refusals import round_closed


class SenderFaultError(PeerError):
    """The sender alone caused this: its signature or its commitment proves it."""


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
        """Raises PeerError BAD_MESSAGE, WRONG_CONTEXT."""
        group = self._group
        self.dealings[number] = codec.decode_dealing(body, group.context, number, group.size)

    def add_input(self, number: int, body: bytes) -> None:
        """Raises PeerError ROUND_CLOSED, BAD_MESSAGE, WRONG_CONTEXT, WRONG_SHAPE; SenderFaultError
        MASKED_SIGNATURE.
        """
        if number not in self.dealers:
            raise round_closed("This device dealt no shares in time.")
        group = self._group
        masked = codec.decode_masked(body, group.context, group.config)
        # Only a check of the form: the packed words are kept, which take up to half the memory.
        unpack(masked.words, group.config.bits, sent_words(group.config))
        # The signature covers the dealers too: with another set of them the masks do not cancel.
        statement = codec.masked_statement(group.context, self.dealers, masked.words)
        if not verify_signature(group.keys[number], masked.signature, statement):
            raise SenderFaultError(
                "MASKED_SIGNATURE",
                "The masked update is not signed for these dealers.",
                "Nothing was changed.",
            )
        self.inputs[number] = masked.words

    def add_signature(self, number: int, body: bytes) -> None:
        """Raises PeerError BAD_MESSAGE, WRONG_CONTEXT; SenderFaultError CONSISTENCY_SIGNATURE."""
        group = self._group
        signature = codec.decode_consistency(body, group.context)
        statement = codec.survivors_statement(group.context, self.dealers, self.survivors)
        if number not in self.survivors or not verify_signature(
            group.keys[number], signature, statement
        ):
            raise SenderFaultError(
                "CONSISTENCY_SIGNATURE",
                "The signature is not over these survivors.",
                "Nothing was changed.",
            )
        self.signatures[number] = signature

    def add_shares(self, number: int, body: bytes) -> None:
        """Raises PeerError ROUND_CLOSED, BAD_MESSAGE, WRONG_CONTEXT; SenderFaultError
        SHARE_FALSE.
        """
        if number not in self.survivors:
            raise round_closed("This device is not among the survivors.")
        group, dealers = self._group, sorted(self.dealers)
        returned = codec.decode_unmask(body, group.context, len(dealers))
        shares = dict(zip(dealers, returned, strict=True))
        for dealer, share in shares.items():
            # A survivor's self-mask secret is opened, or a missing device's masking key. With both,
            # the aggregator could unmask that device's input alone.
            kind = "self" if dealer in self.survivors else "pair"
            published = self.dealings[dealer].to[number]
            expected = published.self_commitment if kind == "self" else published.pair_commitment
            if commitment(group.context, dealer, number, kind, share) != expected:
                raise SenderFaultError(
                    "SHARE_FALSE", "A share is not the one that was dealt.", "Nothing was changed."
                )
        self.shares[number] = shares

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
