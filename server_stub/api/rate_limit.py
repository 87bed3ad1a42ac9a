"""Token buckets: how often an address, a certificate or a token may ask.

Bounded memory; one process.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass, field, fields
from typing import Any

from server_stub.errors import BusyError

MAX_BUCKETS = 100_000
MAX_LIMIT = 10**7


@dataclass(frozen=True)
class Rate:
    """So many at once, and so many a second after that."""

    burst: int
    per_s: float


@dataclass(frozen=True)
class Rates:
    """The limits. An organisation's many devices may share one address."""

    address: Rate = Rate(1000, 100.0)
    """Requests of one address that show no certificate."""
    certificate: Rate = Rate(120, 10.0)
    """Requests of one device."""
    registration: Rate = Rate(500, 5.0)
    """Registrations of one address."""
    token: Rate = Rate(500, 5.0)
    """Registrations with one token."""
    failure: Rate = Rate(30, 0.1)
    """Wrong tokens, wrong erase secrets and bad signatures of one address."""


@dataclass(frozen=True)
class DevicePortLimits:
    """What the device port bears. `server.json` holds it under "limits"."""

    rates: Rates = field(default_factory=Rates)
    connections: int = 4096
    """At once; more are answered with 503."""
    head_s: float = 15.0
    """From the first byte of a request, or from the handshake, to the end of its headers."""
    body_s: float = 20.0
    """For a request's body, beside the time that its largest size takes at `body_bytes_per_s`."""
    body_bytes_per_s: int = 16_000

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "DevicePortLimits":
        """What is missing keeps its default.

        Raises TypeError for a name that is none, ValueError for a value out of range.
        """
        if not isinstance(value, dict) or not isinstance(value.get("rates", {}), dict):
            raise ValueError("limits: expected names with values")
        held = dict(value)
        rates = {name: Rate(**said) for name, said in held.pop("rates", {}).items()}
        made = cls(Rates(**rates), **held)
        numbers = [
            (f"limits.{name}", getattr(made, name))
            for name in ("connections", "head_s", "body_s", "body_bytes_per_s")
        ]
        numbers += [
            (f"limits.rates.{one.name}.burst", getattr(made.rates, one.name).burst)
            for one in fields(Rates)
        ]
        numbers += [
            (f"limits.rates.{one.name}.per_s", getattr(made.rates, one.name).per_s)
            for one in fields(Rates)
        ]
        for name, number in numbers:
            if type(number) not in (int, float) or not 0 < number <= MAX_LIMIT:
                raise ValueError(
                    f"{name}: expected a number above 0 and up to {MAX_LIMIT}, got {number!r}"
                )
            if name.endswith(("burst", "connections")) and type(number) is not int:
                raise ValueError(f"{name}: expected a whole number, got {number!r}")
        return made


class Buckets:
    """`now_s` is monotonic."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def take(self, kind: str, key: str, rate: Rate, now_s: float) -> None:
        """Take one. Raises BusyError TOO_MANY when there is none."""
        level = self._level(kind, key, rate, now_s)
        if level < 1:
            raise BusyError("TOO_MANY", "Too many requests.", math.ceil((1 - level) / rate.per_s))
        self._held[kind, key] = (level - 1, now_s)
        self._held.move_to_end((kind, key))
        if len(self._held) > MAX_BUCKETS:
            self._held.popitem(last=False)

    def demand(self, kind: str, key: str, rate: Rate, now_s: float) -> None:
        """Raise BusyError TOO_MANY when there is none, without taking one."""
        level = self._level(kind, key, rate, now_s)
        if level < 1:
            raise BusyError("TOO_MANY", "Too many requests.", math.ceil((1 - level) / rate.per_s))

    def _level(self, kind: str, key: str, rate: Rate, now_s: float) -> float:
        level, then = self._held.get((kind, key), (float(rate.burst), now_s))
        return min(float(rate.burst), level + (now_s - then) * rate.per_s)
