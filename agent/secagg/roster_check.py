"""Checks a group's roster (U1), member by member, before a device trusts the group.

It checks size and order first, then this device's own entry, the keys, the list of everybody who
advertised, its witness and the draw, and last the certificates and signatures, which cost the most.
Codes: agent.secagg.client.
"""

import itertools
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from agent.privacy.policy import DeviceLimits
from agent.protocol import codec, witness
from agent.protocol.exchange_proof import is_canonical
from agent.protocol.identities import Authority, verify_signature
from agent.protocol.messages import RoundConfig
from agent.secagg.refusal import refused


@dataclass(frozen=True)
class RosterCheck:
    """What the rosters of one round are checked against."""

    config: RoundConfig
    limits: DeviceLimits
    authority: Authority
    round_context: bytes

    def certified_keys(
        self, roster: codec.Roster, own: codec.Advertisement
    ) -> tuple[EllipticCurvePublicKey, ...]:
        """Check every member of `roster`; return their certified keys, in its order.

        Raises PeerError with a code that begins with ROSTER.
        """
        members = roster.members
        self._check_size(members)
        if own not in members:
            raise refused("ROSTER_SELF", "this device's own entry is missing or was changed")
        keys = [key for member in members for key in (member.sealing_key, member.masking_key)]
        # Each key in its only form: two forms of one key would count as two keys.
        if not all(map(is_canonical, keys)):
            raise refused("ROSTER_KEY", "a member's key is unusable")
        if len(set(keys)) != len(keys):
            raise refused("ROSTER_DUPLICATE", "two members have the same key")
        self.check_draw(roster, own)
        return self._checked_identities(members)

    def check_draw(self, roster: codec.Roster, own: codec.Advertisement) -> None:
        """Check that the group is the one that follows from the whole list and its witness.

        Raises PeerError ROSTER_LIST, ROSTER_WITNESS, ROSTER_GROUP.
        """
        self._check_list(roster, own)
        self._check_witness(roster)
        self._check_group(roster)

    def _check_size(self, members: tuple[codec.Advertisement, ...]) -> None:
        fewest = max(self.limits.min_group, self.config.min_group)
        if not fewest <= len(members) <= self.config.g_max:
            raise refused(
                "ROSTER_SIZE",
                f"expected {fewest} to {self.config.g_max} devices in the group, got"
                f" {len(members)}",
            )
        ids = [member.device_id for member in members]
        if any(one >= other for one, other in itertools.pairwise(ids)):
            raise refused("ROSTER_ORDER", "its members are out of order or one is listed twice")

    @staticmethod
    def _check_list(roster: codec.Roster, own: codec.Advertisement) -> None:
        if any(one >= other for one, other in itertools.pairwise(roster.leaves)):
            raise refused("ROSTER_LIST", "the list of devices is out of order")
        if own.leaf not in roster.leaves:
            raise refused("ROSTER_LIST", "the list of devices leaves this device out")

    def _check_witness(self, roster: codec.Roster) -> None:
        """Whether the witness of the task signed this list, and drew the seed."""
        if not self.config.witness:
            # The seed would be the aggregator's choice.
            if roster.witnessed != witness.Witnessed():
                raise refused(
                    "ROSTER_WITNESS", "the draw has a witness that the task does not know"
                )
            return
        request = witness.draw_request(self.config, self.round_context, roster.draw)
        statement = witness.statement(request, roster.witnessed.seed)
        if not self.authority.has_signed(roster.witnessed.signature, statement):
            raise refused("ROSTER_WITNESS", "the witness did not sign the draw of its group")

    def _check_group(self, roster: codec.Roster) -> None:
        groups = roster.draw.groups(self.config)
        leaves = {member.leaf for member in roster.members}
        if roster.group >= len(groups) or groups[roster.group] != leaves:
            raise refused("ROSTER_GROUP", "its group is not the one that was drawn")

    def _checked_identities(
        self, members: tuple[codec.Advertisement, ...]
    ) -> tuple[EllipticCurvePublicKey, ...]:
        keys = []
        points = set()
        for member in members:
            key = self.authority.key_of(member.certificate, member.device_id)
            public = key.public_numbers()
            points.add((public.x, public.y))
            keys.append(key)
            if not verify_signature(key, member.signature, member.statement(self.round_context)):
                raise refused(
                    "ROSTER_SIGNATURE",
                    "a member's keys are not signed by its certificate for this round",
                )
        if len(points) != len(members):
            raise refused("ROSTER_DUPLICATE", "two members have the same certified key")
        return tuple(keys)
