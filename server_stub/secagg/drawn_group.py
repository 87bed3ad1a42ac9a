"""A group as it was drawn: configuration, roster, keys and what follows from them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from agent.protocol import codec
from agent.protocol.messages import RoundConfig


# eq=False: two groups are never the same, and comparing whole rosters would be slow.
# cached_property works in a frozen dataclass because it writes to the instance's __dict__.
@dataclass(frozen=True, eq=False)
class DrawnGroup:
    """Fixed for the life of a group. Devices go by their number: their place in the roster."""

    config: RoundConfig
    roster: codec.Roster
    keys: tuple[EllipticCurvePublicKey, ...]
    """The certified signing keys, by device number."""
    ca_pem: str
    """The authority that certified them."""
    certified_at: int
    """When the certificates had to be valid, in seconds since the epoch."""

    @cached_property
    def device_ids(self) -> tuple[str, ...]:
        """Device ids, by device number."""
        return tuple(member.device_id for member in self.roster.members)

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        """Device numbers, by device id."""
        return {device_id: number for number, device_id in enumerate(self.device_ids)}

    @property
    def size(self) -> int:
        return len(self.roster.members)

    @cached_property
    def round_context(self) -> bytes:
        return codec.round_context(self.config)

    @cached_property
    def context(self) -> bytes:
        """ctx_group: what every message after the draw is bound to."""
        return codec.group_context(self.round_context, self.roster)

    @cached_property
    def roster_body(self) -> bytes:
        """The roster as every member gets it."""
        return codec.encode_roster(self.round_context, self.roster)

    @cached_property
    def threshold(self) -> int:
        """t: shares that open a secret."""
        return codec.threshold(self.size, self.config)

    @cached_property
    def min_devices(self) -> int:
        """Fewest devices with which the group continues."""
        return codec.min_survivors(self.size, self.config)
