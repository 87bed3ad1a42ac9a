"""What a demonstration is asked to do, and what follows from it: pure decisions."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.errors import UserActionError
from agent.privacy.policy import DeviceLimits
from agent.privacy.zcdp import UNITS_PER_RHO, rho_for_epsilon
from agent.protocol.messages import Mode
from server_stub.config.settings import min_group_settings
from server_stub.demo.baselines import Training
from server_stub.rounds.lifecycle import RoundPlan, server_rate

DELTA_INVERSE = 100_000
MAX_DEVICES = 500
MAX_ROUNDS = 48
"""A device takes part in no more rounds a day."""
LEAST_EPSILON, MOST_EPSILON = 0.05, 10.0
"""Bounds of the setting `budget.epsilon`."""
MOST_RHO_UNITS = UNITS_PER_RHO // 4
"""What a device gives in one round at most (agent.privacy.policy.Limits)."""
GENERATED_ROWS = 12_000
GROUP_ROWS = 6
ROWS_EACH = 240
MIN_ROWS = 4
LEAST_GROUP = 3
PRODUCT_FROM = 40
"""From so many devices on, groups are as large as the product demands."""
JOIN_S, PHASE_S = 6, 10
"""Where nobody is to vanish a phase may take twice as long: it costs nothing, and a busy machine
loses no device."""
PHASES = ("shares", "masked", "consistency", "unmask")
"""What a device may fail to say once it has joined a group."""
RATE_MILLI = 500
STEPS_AND_CLIP_MILLI = {Mode.SECAGG: (10, 500), Mode.LOCAL: (5, 250)}
"""Found by trying: where more noise reaches the model, shorter steps are better. The noise follows
from the clipping norm, so ε does not depend on them."""
SERVER_RATE_MILLI, SERVER_DECAY_MILLI = 1000, 500


@dataclass(frozen=True)
class DemoPlan:
    """The options of `aegis demo`."""

    devices: int = 20
    """The full agent is one of them."""
    rounds: int = 8
    epsilon: float = 1.0
    data: Path | None = None
    seed: int = 1
    drop: float = 0.0
    mode: str = "secagg"

    def check(self) -> None:
        """Raise UserActionError BAD_OPTION."""
        least = LEAST_GROUP if self.is_secagg else 2
        for name, value, low, high in (
            ("--devices", self.devices, least, MAX_DEVICES),
            ("--rounds", self.rounds, 1, MAX_ROUNDS),
            ("--epsilon", self.epsilon, LEAST_EPSILON, MOST_EPSILON),
            ("--seed", self.seed, 0, 2**32 - 1),
            ("--drop", self.drop, 0.0, 0.9),
        ):
            if not low <= value <= high:
                raise UserActionError(
                    "BAD_OPTION",
                    f"{name} must be {low} to {high}, not {value}.",
                    "See aegis demo --help.",
                )

    @property
    def is_secagg(self) -> bool:
        return self.mode == Mode.SECAGG.value

    @property
    def floor(self) -> DeviceLimits | None:
        """Bounds on groups for the devices that the demonstration makes; None: the product's own
        hold.
        """
        if not self.is_secagg or self.devices >= PRODUCT_FROM:
            return None
        held = min_group_settings(max(LEAST_GROUP, self.devices * 4 // 5))
        return DeviceLimits(held["min_group"], held["min_sum"], held["gamma_milli"])

    @property
    def floor_words(self) -> str:
        """The least that a device of this demonstration accepts; "" where there are no groups."""
        if not self.is_secagg:
            return ""
        kind, held = (
            ("the product's own floor", DeviceLimits())
            if self.floor is None
            else ("test floor", self.floor)
        )
        return f"{kind}: groups of {held.min_group}, sums of {held.min_sum}"

    @property
    def delta(self) -> float:
        return 1 / DELTA_INVERSE

    @property
    def planned_rounds(self) -> int:
        """Rounds that share the budget: more than are held where one round would cost more than a
        device gives in one.
        """
        return max(
            self.rounds, math.ceil(rho_for_epsilon(self.epsilon, self.delta) / MOST_RHO_UNITS)
        )

    @property
    def training(self) -> Training:
        rounds = RoundPlan(
            server_rate_milli=SERVER_RATE_MILLI, server_decay_milli=SERVER_DECAY_MILLI
        )
        rates = tuple(server_rate(rounds, number) for number in range(1, self.rounds + 1))
        steps, clip_milli = STEPS_AND_CLIP_MILLI[Mode(self.mode)]
        return Training(steps, RATE_MILLI / 1000, clip_milli / 1000, rates)

    def server_options(self, model: Path, simulated: int, full_agents: int) -> list[str]:
        """For `aegis-server init`."""
        steps, clip_milli = STEPS_AND_CLIP_MILLI[Mode(self.mode)]
        senders = simulated - self.gone_each_round(simulated) + full_agents
        options: dict[str, object] = {
            "operator-name": "The demonstration on this computer",
            "contact": "nobody: it ends with the demonstration",
            "recipients": "This computer only",
            "retention": "Everything is deleted when the demonstration ends",
            "model": model,
            "task-id": "demonstration",
            "mode": self.mode,
            "train-steps": steps,
            "train-rate-milli": RATE_MILLI,
            "clip-milli": clip_milli,
            "min-rows": MIN_ROWS,
            "rounds-target": max(1, senders),
            "rounds-planned": self.planned_rounds,
            "round-seconds": self.round_seconds,
            "epsilon": self.epsilon,
            "server-rate-milli": SERVER_RATE_MILLI,
            "server-decay-milli": SERVER_DECAY_MILLI,
        }
        if self.is_secagg:
            options |= {
                "ready-target": self.devices,
                "lead-seconds": 0,
                "join-seconds": JOIN_S + self.devices // 10,
                "phase-seconds": PHASE_S + self.devices // 10
                if self.drop
                else 2 * PHASE_S + self.devices // 2,
                "poll-seconds": 1,
                **({} if self.floor is None else {"group-floor": self.floor.min_group}),
            }
        return [word for name, value in options.items() for word in (f"--{name}", str(value))]

    @property
    def round_seconds(self) -> int:
        """A round waits so long for a device that does not come."""
        return 90 + 2 * self.devices

    def gone_each_round(self, simulated: int) -> int:
        return min(round(self.drop * simulated), simulated - 1)

    def vanishing(self, number: int, simulated: int) -> dict[int, str]:
        """Which simulated devices go away in a round, and before which of their messages."""
        rng = np.random.default_rng((self.seed, number))
        gone = sorted(rng.choice(simulated, self.gone_each_round(simulated), replace=False))
        before = PHASES if self.is_secagg else ("masked",)
        return {
            int(device): before[(number + place) % len(before)] for place, device in enumerate(gone)
        }
