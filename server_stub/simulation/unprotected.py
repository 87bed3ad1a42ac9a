"""The same simulation without protection: updates in the clear, compressed or as they are, to show
the price of privacy. NOT PRIVATE.
"""

from collections.abc import Callable

import numpy as np

from agent.detector.model import Metrics
from agent.privacy import codec, plain
from server_stub.simulation import attacks
from server_stub.simulation.attacks import Attack
from server_stub.simulation.groups import PHASES
from server_stub.simulation.report import Round
from server_stub.simulation.world import World


class PlainWorld(World):
    """No groups, no noise, no ledger. What top-k leaves out of an update is added to the next
    one.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self._residual = np.zeros((self.options.devices, self.config.d))
        self._k = min(self.options.top_k or max(1, self.config.d // 20), self.config.d)

    def run_round(self, number: int, evaluate: Callable[[], Metrics]) -> Round:
        """Run one round. A device that falls silent in any phase sends nothing."""
        total, clip, sent = np.zeros_like(self.weights), float(self.config.clip), 0
        staying = [device for device, phase in enumerate(self._drop_outs()) if not phase]
        for device in staying:
            attack = self.options.attack if self.attacking[device] else Attack.NONE
            update = codec.clip(
                attacks.poison(attack, self.fleet.update(self.weights, device), clip), clip
            )
            if attack is Attack.SCALE_OVER:
                # After the clipping, which a modified program skips.
                update *= attacks.SCALE_OVER_FACTOR
            body, self._residual[device] = plain.compress(update, self._residual[device], self._k)
            total += plain.expand(body, self.config.d)
            sent += len(body)
        if staying:
            self.weights = self.fleet.advance(self.weights, total / len(staying))
            self.traffic.append((sent / len(staying), 0.0))
        return Round(
            number,
            1,
            int(bool(staying)),
            0,
            len(staying),
            dict.fromkeys(PHASES, len(staying)),
            0,
            evaluate(),
        )


class ClearWorld(World):
    """No groups, no noise, no rounding, no ledger: the mean of the clipped updates."""

    def run_round(self, number: int, evaluate: Callable[[], Metrics]) -> Round:
        """Run one round. A device that falls silent in any phase sends nothing."""
        total, clip = np.zeros_like(self.weights), float(self.config.clip)
        staying = [device for device, phase in enumerate(self._drop_outs()) if not phase]
        for device in staying:
            attack = self.options.attack if self.attacking[device] else Attack.NONE
            update = attacks.poison(attack, self.fleet.update(self.weights, device), clip)
            factor = attacks.SCALE_OVER_FACTOR if attack is Attack.SCALE_OVER else 1
            total += codec.clip(update, clip) * factor
        if staying:
            self.weights = self.fleet.advance(self.weights, total / len(staying))
        opened = int(bool(staying))
        answered = dict.fromkeys(PHASES, len(staying))
        return Round(number, 1, opened, 0, len(staying), answered, 0, evaluate())
