"""The same world without protection: compressed updates in the clear, so that the price of privacy
can be seen beside it. NOT PRIVATE.
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
    """No groups, no noise, no ledger; what top-k leaves behind goes with the next update."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._left = np.zeros((self.options.devices, self.config.d))
        self._k = min(self.options.top_k or max(1, self.config.d // 20), self.config.d)

    def hold(self, number: int, judged: Callable[[], Metrics]) -> Round:
        """One round: a device that falls silent in any phase sends nothing."""
        total, clip, sent = np.zeros_like(self.weights), float(self.config.clip), 0
        staying = [device for device, phase in enumerate(self._silences()) if not phase]
        for device in staying:
            attack = self.options.attack if self.attacking[device] else Attack.NONE
            update = codec.clip(
                attacks.bent(attack, self.fleet.update(self.weights, device), clip), clip
            )
            if attack is Attack.SCALE_OVER:
                update *= attacks.OVER
            body, self._left[device] = plain.compress(update, self._left[device], self._k)
            total += plain.expand(body, self.config.d)
            sent += len(body)
        if staying:
            self.weights = self.weights + total / len(staying)
            self.traffic.append((sent / len(staying), 0.0))
        return Round(
            number,
            1,
            int(bool(staying)),
            0,
            len(staying),
            dict.fromkeys(PHASES, len(staying)),
            0,
            judged(),
        )
