"""Decides which connections a port holds. Pure: `acceptor` acts on what is decided here.

1. Without a certificate a connection is mute (no byte has arrived), then greeting (TLS is not
   complete), then silent (no request in progress) or asking (one is). With one it is resting or
   served.
2. An address has at most `per_address` connections without a certificate. All of an IPv6 /64 count
   as one address, because one computer may use any of them.
3. If the address of a new connection has no room, its oldest mute connection goes, else the one of
   its connections that took its last step longest ago and that does not ask. Else the new
   connection is refused.
4. If the port has no room, the oldest mute connection goes, else the one without a certificate that
   took its last step longest ago, else the device that has rested longest. An honest client takes
   its steps in milliseconds, so it outlives a flood of those who take none.
5. A device has at most `per_device` connections.
"""

import ipaddress
import itertools
from collections import Counter
from dataclasses import dataclass
from enum import Enum, auto

from server_stub.config.limits import DevicePortLimits

IPV6_PREFIX = 64


class Stage(Enum):
    """How much a connection has shown of itself (rule 1)."""

    MUTE = auto()
    GREETING = auto()
    SILENT = auto()
    ASKING = auto()
    RESTING = auto()
    SERVED = auto()


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
        self._mute: dict[int, None] = {}
        self._stepping: dict[int, None] = {}
        """Those that greet, are silent or ask. Each queue begins with the last step longest ago."""
        self._resting: dict[int, None] = {}
        self._of_address: dict[str, dict[int, None]] = {}
        """Those without a certificate."""
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
        if len(self._of_address.get(key, ())) >= self._caps.per_address:
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
        return next(itertools.chain(self._mute, self._stepping, self._resting), None)

    def early(self) -> tuple[int, ...]:
        """The connections whose TLS is not complete."""
        stepping = (
            number for number in self._stepping if self._open[number].stage is Stage.GREETING
        )
        return (*self._mute, *stepping)

    def speak(self, number: int) -> None:
        """Note the first byte of a connection."""
        self._enter(number, Stage.GREETING)

    def greet(self, number: int) -> None:
        """Note that TLS is complete, without a certificate."""
        self._enter(number, Stage.SILENT)

    def prove(self, number: int, device: str) -> bool:
        """Note that TLS is complete, with a certificate; False if the connection must end."""
        connection = self._open.get(number)
        if connection is None or self._devices[device] >= self._caps.per_device:
            self.refused += 1
            return False
        self._leave(number, connection)
        connection.device = device
        self._devices[device] += 1
        self._join(number, connection, Stage.RESTING)
        return True

    def ask(self, number: int) -> None:
        """Note that a request is in progress."""
        self._enter(number, Stage.ASKING, of_device=Stage.SERVED)

    def rest(self, number: int) -> None:
        """Note that no request is in progress."""
        self._enter(number, Stage.SILENT, of_device=Stage.RESTING)

    def release(self, number: int) -> None:
        """Forget a connection. Harmless for one that is forgotten already."""
        connection = self._open.pop(number, None)
        if connection is None:
            return
        self._leave(number, connection)
        if connection.device:
            self._devices[connection.device] -= 1
            if not self._devices[connection.device]:
                del self._devices[connection.device]

    def _hold(self, key: str) -> int:
        self.admitted += 1
        connection = self._open[self.admitted] = _Connection(key)
        self._join(self.admitted, connection, Stage.MUTE)
        return self.admitted

    def _oldest_of(self, key: str) -> int | None:
        mine = self._of_address[key]
        mute = (number for number in mine if self._open[number].stage is Stage.MUTE)
        idle = (number for number in mine if self._open[number].stage is not Stage.ASKING)
        return next(itertools.chain(mute, idle), None)

    def _enter(self, number: int, stage: Stage, of_device: Stage | None = None) -> None:
        connection = self._open.get(number)
        if connection is not None:
            self._leave(number, connection)
            self._join(number, connection, (of_device if connection.device else None) or stage)

    def _join(self, number: int, connection: _Connection, stage: Stage) -> None:
        """Put a connection at the end of its queues."""
        connection.stage = stage
        if not connection.device:
            self._of_address.setdefault(connection.address, {})[number] = None
        if (queue := self._queue(stage)) is not None:
            queue[number] = None

    def _leave(self, number: int, connection: _Connection) -> None:
        """Take a connection out of its queues."""
        if (queue := self._queue(connection.stage)) is not None:
            queue.pop(number, None)
        if not connection.device:
            mine = self._of_address[connection.address]
            del mine[number]
            if not mine:
                del self._of_address[connection.address]

    def _queue(self, stage: Stage) -> dict[int, None] | None:
        if stage is Stage.MUTE:
            return self._mute
        if stage is Stage.RESTING:
            return self._resting
        return None if stage is Stage.SERVED else self._stepping
