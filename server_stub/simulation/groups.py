"""One group of a simulated round, from sealed words and silences to a sum or nothing; with the
arithmetic alone, or with the machines.

`opened_directly` is what the machines of GroupSecAgg/1 come to: who counts in which phase, and the
plain sum of the survivors' words. `server_stub.simulation.command.opened_by_machines` is the
protocol itself; a test proves that both give the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.protocol import codec
from agent.protocol.messages import RoundConfig

PHASES = ("shares", "masked", "consistency", "unmask")
BEFORE = {
    "shares": "advertise",
    "masked": "shares",
    "consistency": "masked",
    "unmask": "consistency",
}
"""The phase whose outcome a device hears before it speaks in a phase."""
Words = NDArray[np.uint32]


@dataclass(frozen=True)
class Outcome:
    """What became of a group. Devices go by their places in it."""

    charged: tuple[int, ...]
    """Devices whose masked input left them: their ledgers hold the charge."""
    survivors: tuple[int, ...]
    words: Words | None
    """Sum modulo 2^bits; None: the group ended without one."""
    answered: dict[str, int]
    """Devices that answered, by phase."""
    bytes_up: float | None = None
    """Per device; None where no messages were made."""
    bytes_down: float | None = None


Opened = Callable[[RoundConfig, Sequence[Words], Sequence[str]], Outcome]
"""From a round, the sealed words by device, and the phase from which on a device says nothing ("":
none)."""


def opened_directly(config: RoundConfig, words: Sequence[Words], silent: Sequence[str]) -> Outcome:
    """Who counts in which phase, and the sum of the survivors' words."""
    size, answered = len(words), dict.fromkeys(PHASES, 0)
    staying = list(range(size))
    charged: tuple[int, ...] = ()
    survivors: tuple[int, ...] = ()
    for phase in PHASES:
        staying = [device for device in staying if silent[device] != phase]
        answered[phase] = len(staying)
        if phase == "masked":
            charged = survivors = tuple(staying)
        needed = (
            codec.fewest(size, config)
            if phase in ("shares", "masked")
            else codec.threshold(size, config)
        )
        if len(staying) < needed:
            return Outcome(charged, (), None, answered)
    total = np.zeros(len(words[0]), np.uint32)
    for device in survivors:
        total += words[device]
    return Outcome(charged, survivors, total & np.uint32((1 << config.bits) - 1), answered)
