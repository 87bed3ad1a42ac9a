"""Decides which connections a port holds. Pure: `acceptor` acts on what is decided here.

1. A connection has one of five stages: mute (no byte has arrived), greeting (TLS is not complete),
   silent (complete, but without a certificate and without a request), asking (the same with a
   request), known (with a certificate).
2. An address has at most `per_address` connections that are not known. All of an IPv6 /64 count as
   one address, because one computer may use any of them.
3. If there is no room, a new connection takes the place of the oldest mute one, else of the oldest
   that greets, else of the oldest silent one: of its own address if that is full, of any if the
   port is full. So whoever does more than a flood gets in. If none can go, it is refused.
4. A device has at most `per_device` connections.
"""

import ipaddress
from collections import Counter
from dataclasses import dataclass
from enum import Enum, auto

from server_stub.config.limits import DevicePortLimits

IPV6_PREFIX = 64


class Stage(Enum):
    """How much a connection has shown of itself."""

    MUTE = auto()
    GREETING = auto()
    SILENT = auto()
    ASKING = auto()
    KNOWN = auto()


MOVABLE = (Stage.MUTE, Stage.GREETING, Stage.SILENT)
"""What makes room for a new connection, in this order."""


@dataclass(frozen=True)
class Caps:
    """How many connections a port holds."""

    total: int
    per_address: int
    per_device: int


@dataclass(frozen=True)
class Admission:
    """A connection that may stay."""

    number: int
    victim: int | None
    """The number of a connection that must be closed for it."""


@dataclass
class _Connection:
    address: str
    stage: Stage = Stage.MUTE
    device: str = ""


def port_caps(limits: DevicePortLimits, available: int) -> Caps:
    """The caps of a port that may have `available` descriptors.

    With fewer than `limits.connections`, an address's share shrinks in proportion.
    """
    total = min(limits.connections, available)
    share = -(-limits.connections_per_address * total // limits.connections)
    return Caps(total, max(1, min(share, total)), limits.connections_per_device)


def address_key(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), IPV6_PREFIX), strict=False))


class OpenConnections:
    """The connections of one port."""

    def __init__(self, caps: Caps) -> None:
        self._caps = caps
        self.admitted = 0
        """How many were, since the start."""
        self._open: dict[int, _Connection] = {}
        self._movable: dict[Stage, dict[int, None]] = {stage: {} for stage in MOVABLE}
        """By stage, the oldest first."""
        self._unknown: dict[str, dict[int, None]] = {}
        """By address, the oldest first."""
        self._devices: Counter[str] = Counter()
        self.refused = 0
        """How many were not admitted, or had to go for another, since the start."""

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, number: int) -> bool:
        return number in self._open

    def admit(self, address: str) -> Admission | None:
        """Take in a connection; None if it must be closed."""
        key = address_key(address)
        victim = None
        if len(self._unknown.get(key, ())) >= self._caps.per_address:
            victim = self._oldest_of(key)
        elif len(self._open) >= self._caps.total:
            victim = self.oldest()
        else:
            return Admission(self._hold(key), None)
        self.refused += 1
        if victim is None:
            return None
        self.release(victim)
        return Admission(self._hold(key), victim)

    def oldest(self) -> int | None:
        """The connection that has to go first when something must; None if none has to."""
        return next((number for stage in MOVABLE for number in self._movable[stage]), None)

    def early(self) -> tuple[int, ...]:
        """The connections whose TLS is not complete."""
        return (*self._movable[Stage.MUTE], *self._movable[Stage.GREETING])

    def advance(self, number: int, stage: Stage) -> None:
        """Note that a connection without a certificate has reached a later stage."""
        connection = self._open.get(number)
        if connection is None or connection.stage is Stage.KNOWN:
            return
        self._movable.get(connection.stage, {}).pop(number, None)
        connection.stage = stage
        if stage in self._movable:
            self._movable[stage][number] = None

    def prove(self, number: int, device: str) -> bool:
        """Note the certificate of a connection; False if its device has too many connections."""
        connection = self._open.get(number)
        if connection is None or self._devices[device] >= self._caps.per_device:
            self.refused += 1
            return False
        self.advance(number, Stage.KNOWN)
        self._leave(number, connection)
        connection.device = device
        self._devices[device] += 1
        return True

    def release(self, number: int) -> None:
        """Forget a connection. Harmless for one that is forgotten already."""
        connection = self._open.pop(number, None)
        if connection is None:
            return
        self._movable.get(connection.stage, {}).pop(number, None)
        self._leave(number, connection)
        if connection.device:
            self._devices[connection.device] -= 1
            if not self._devices[connection.device]:
                del self._devices[connection.device]

    def _hold(self, key: str) -> int:
        self.admitted += 1
        self._open[self.admitted] = _Connection(key)
        self._movable[Stage.MUTE][self.admitted] = None
        self._unknown.setdefault(key, {})[self.admitted] = None
        return self.admitted

    def _oldest_of(self, key: str) -> int | None:
        numbers = self._unknown[key]
        return next(
            (one for stage in MOVABLE for one in numbers if self._open[one].stage is stage), None
        )

    def _leave(self, number: int, connection: _Connection) -> None:
        """Count a connection no more among those of its address."""
        numbers = self._unknown.get(connection.address, {})
        numbers.pop(number, None)
        if not numbers:
            self._unknown.pop(connection.address, None)
