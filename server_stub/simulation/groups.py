"""One group of a simulated round: from the devices' words and drop-outs to a sum, or to none.

`open_directly` computes the result of GroupSecAgg/2: who counts in which phase, and the plain sum
of the survivors' words. `server_stub.simulation.machines.open_with_machines` runs the protocol
itself; a test proves that both give the same.
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
"""The phase whose outcome a device receives before it sends its message of a phase."""
Words = NDArray[np.uint32]


@dataclass(frozen=True)
class Outcome:
    """How a group ended. Devices go by their place in it."""

    charged: tuple[int, ...]
    """Devices that sent their masked input: their ledgers show the charge."""
    survivors: tuple[int, ...]
    words: Words | None
    """Sum modulo 2^bits; None where the group ended without one."""
    answered: dict[str, int]
    """Devices that answered, by phase."""
    bytes_up: float | None = None
    """Per device; None where no messages exist."""
    bytes_down: float | None = None


OpenGroup = Callable[[RoundConfig, Sequence[Words], Sequence[str]], Outcome]
"""Takes a round, the noised words of each device, and the phase from which on each device is silent
("" for none)."""


def open_directly(config: RoundConfig, words: Sequence[Words], silent: Sequence[str]) -> Outcome:
    """Count the devices of each phase and sum the survivors' words."""
    size, answered = len(words), dict.fromkeys(PHASES, 0)
    staying = list(range(size))
    charged: tuple[int, ...] = ()
    survivors: tuple[int, ...] = ()
    for phase in PHASES:
        staying = [device for device in staying if silent[device] != phase]
        answered[phase] = len(staying)
        if phase == "masked":
            charged = survivors = tuple(staying)
        minimum = (
            codec.min_survivors(size, config)
            if phase in ("shares", "masked")
            else codec.threshold(size, config)
        )
        if len(staying) < minimum:
            return Outcome(charged, (), None, answered)
    total = np.zeros(len(words[0]), np.uint32)
    for device in survivors:
        total += words[device]
    return Outcome(charged, survivors, total & np.uint32((1 << config.bits) - 1), answered)
