"""What the device port accepts: rates, connections, sizes and times.

`server.json` holds these values under `limits`.
"""

from dataclasses import dataclass, field, fields
from typing import Any

MAX_LIMIT = 10**7
_COUNTS = frozenset(
    f"limits.{name}"
    for name in ("connections", "connections_per_address", "connections_per_device")
)


@dataclass(frozen=True)
class Rate:
    """A token bucket: `burst` requests at once, then `per_s` a second."""

    burst: int
    per_s: float


@dataclass(frozen=True)
class Rates:
    """One rate for each kind of caller. Many devices of an organisation may share an address."""

    address: Rate = Rate(1000, 100.0)
    """Requests from one address that show no certificate."""
    certificate: Rate = Rate(120, 10.0)
    """Requests from one device."""
    registration: Rate = Rate(500, 5.0)
    """Registrations from one address."""
    token: Rate = Rate(500, 5.0)
    """Registrations with one token."""
    failure: Rate = Rate(30, 0.1)
    """Wrong tokens, wrong erase secrets and bad signatures from one address."""


@dataclass(frozen=True)
class DevicePortLimits:
    """The limits of the device port."""

    rates: Rates = field(default_factory=Rates)
    connections: int = 4096
    """Concurrent connections. Fewer where the process may not open that many files."""
    connections_per_address: int = 512
    """Of these, from one address (IPv6: one /64) without a certificate."""
    connections_per_device: int = 16
    """Of these, with the same certificate."""
    handshake_s: float = 10.0
    """Time from the connection to the end of the TLS handshake."""
    head_s: float = 15.0
    """Time for a request's headers, from its first byte or from the handshake."""
    body_s: float = 20.0
    """Time for a request's body, plus what its largest size takes at `body_bytes_per_s`."""
    body_bytes_per_s: int = 16_000

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "DevicePortLimits":
        """Read limits; a missing one keeps its default.

        Raises TypeError for an unknown name, ValueError for a value out of range.
        """
        if not isinstance(value, dict) or not isinstance(value.get("rates", {}), dict):
            raise ValueError("limits: expected names with values")
        values = dict(value)
        rates = {name: Rate(**rate) for name, rate in values.pop("rates", {}).items()}
        limits = cls(Rates(**rates), **values)
        for name, number in limits._numbers():
            if type(number) not in (int, float) or not 0 < number <= MAX_LIMIT:
                raise ValueError(
                    f"{name}: expected a number above 0 and up to {MAX_LIMIT}, got {number!r}"
                )
            if (name in _COUNTS or name.endswith("burst")) and type(number) is not int:
                raise ValueError(f"{name}: expected a whole number, got {number!r}")
        return limits

    def _numbers(self) -> list[tuple[str, Any]]:
        """Every number under its full name in `server.json`."""
        numbers = [
            (f"limits.{one.name}", getattr(self, one.name))
            for one in fields(self)
            if one.name != "rates"
        ]
        for rate in fields(Rates):
            for name in ("burst", "per_s"):
                number = getattr(getattr(self.rates, rate.name), name)
                numbers.append((f"limits.rates.{rate.name}.{name}", number))
        return numbers
