"""Checks a group's roster (U1), member by member, before a device trusts the group.

It checks size and order first, then this device's own entry, the keys and the beacon's draw, and
last the certificates and signatures, which cost the most. Codes: agent.secagg.client.
"""

import itertools
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from agent.privacy.policy import DeviceLimits
from agent.protocol import codec, merkle
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
        members = [member.advertisement for member in roster.members]
        self._check_size(members)
        if own not in members:
            raise refused("ROSTER_SELF", "this device's own entry is missing or was changed")
        keys = [key for member in members for key in (member.sealing_key, member.masking_key)]
        if len(set(keys)) != len(keys):
            raise refused("ROSTER_DUPLICATE", "two members have the same key")
        if roster.groups == 1:
            self._check_only_group(roster)
        else:
            self._check_draw(roster)
        return self._checked_identities(members)

    def _check_size(self, members: list[codec.Advertisement]) -> None:
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
    def _check_only_group(roster: codec.Roster) -> None:
        leaves = [_leaf(member.advertisement) for member in roster.members]
        if roster.advertised != len(leaves) or merkle.root(leaves) != roster.beacon:
            raise refused(
                "ROSTER_GROUP",
                "the round's only group does not hold every device that advertised",
            )

    @staticmethod
    def _check_draw(roster: codec.Roster) -> None:
        for member in roster.members:
            advertisement = member.advertisement
            try:
                root = merkle.root_of(
                    _leaf(advertisement), member.leaf, roster.advertised, member.siblings
                )
            except ValueError as error:
                raise refused(
                    "ROSTER_GROUP", "a proof of membership has the wrong length"
                ) from error
            drawn = merkle.group_of(roster.beacon, advertisement.device_id, roster.groups)
            if root != roster.beacon or drawn != roster.group:
                raise refused(
                    "ROSTER_GROUP", "a member was not drawn into this group by the round's beacon"
                )

    def _checked_identities(
        self, members: list[codec.Advertisement]
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


def _leaf(advertisement: codec.Advertisement) -> bytes:
    return merkle.leaf(advertisement.device_id, advertisement.nonce)
