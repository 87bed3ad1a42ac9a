"""The options of a demonstration and everything that follows from them. Pure."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.errors import UserActionError
from agent.privacy.budget import FAST_SPENDING
from agent.privacy.policy import DeviceLimits
from agent.privacy.zcdp import UNITS_PER_RHO, rho_for_epsilon
from agent.protocol.messages import Mode
from server_stub.config.settings import min_group_settings
from server_stub.demo.baselines import Training
from server_stub.rounds.lifecycle import RoundPlan, server_rate

DELTA_INVERSE = 100_000
MAX_DEVICES = 500
MAX_ROUNDS = 48
"""A device joins no more rounds than this in a day."""
MIN_EPSILON, MAX_EPSILON = 0.05, 10.0
"""Bounds of the setting `budget.epsilon`."""
MAX_RHO_UNITS = UNITS_PER_RHO // 4
"""The most that a device spends on one round (agent.privacy.policy.DeviceLimits)."""
GENERATED_ROWS = 12_000
GROUP_ROWS = 6
ROWS_EACH = 240
MIN_ROWS = 4
MIN_GROUP = 3
PRODUCT_LIMITS_FROM = 40
"""With this many devices or more, groups are as large as the product demands."""
MAX_MORE_JOIN_S = 50
"""A join window ends once all devices have advertised, so that a long one costs nothing."""
JOIN_S, PHASE_S = 6, 10
"""Where no device drops out on purpose, a phase may take at least twice as long: no device
waits for its end, and a busy machine loses none."""
PHASES = ("shares", "masked", "consistency", "unmask")
"""The messages before which a device may drop out once it has joined a group."""
RATE_MILLI = 500
LOGISTIC, BASE_HEAD = "logistic/1", "base+head/1"
FAMILIES = (BASE_HEAD, LOGISTIC)
EPSILONS = {BASE_HEAD: 4.0, LOGISTIC: 1.0}
"""Budget where none is given. A head has 1,024 weights; twenty devices need this much for them."""
STEPS_AND_CLIP_MILLI = {Mode.SECAGG: (10, 500), Mode.LOCAL: (5, 250)}
"""Local steps and clipping norm, found by experiment: where more noise reaches the model, shorter
steps are better. The noise follows from the clipping norm, so ε depends on neither."""
SERVER_RATE_MILLI, SERVER_DECAY_MILLI = 1000, 500


@dataclass(frozen=True)
class DemoPlan:
    """The options of `aegis demo`."""

    devices: int = 20
    """The full agent is one of them."""
    rounds: int = 8
    epsilon: float = EPSILONS[BASE_HEAD]
    data: Path | None = None
    seed: int = 1
    drop: float = 0.0
    mode: str = "secagg"
    family: str = BASE_HEAD

    def check(self) -> None:
        """Raise UserActionError BAD_OPTION."""
        least = MIN_GROUP if self.is_secagg else 2
        for name, value, low, high in (
            ("--devices", self.devices, least, MAX_DEVICES),
            ("--rounds", self.rounds, 1, MAX_ROUNDS),
            ("--epsilon", self.epsilon, MIN_EPSILON, MAX_EPSILON),
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
    def has_base(self) -> bool:
        return self.family == BASE_HEAD

    @property
    def device_limits(self) -> DeviceLimits:
        """Limits of the devices that the demonstration makes.

        They may spend their whole budget in a day. Their groups are the product's where enough
        devices take part.
        """
        if not self.is_secagg or self.devices >= PRODUCT_LIMITS_FROM:
            return DeviceLimits(spending=FAST_SPENDING)
        # A fifth of the devices may drop out before the groups are drawn.
        sizes = min_group_settings(max(MIN_GROUP, self.devices * 4 // 5))
        return DeviceLimits(
            sizes["min_group"], sizes["min_sum"], sizes["gamma_milli"], spending=FAST_SPENDING
        )

    @property
    def limits_text(self) -> str:
        """The smallest group and sum that a device of this demonstration accepts, in words; ""
        where there are no groups.
        """
        if not self.is_secagg:
            return ""
        limits = self.device_limits
        kind = "test floor" if limits.are_for_tests else "the product's own floor"
        return f"{kind}: groups of {limits.min_group}, sums of {limits.min_sum}"

    @property
    def colluders_text(self) -> str:
        """What ε assumes about devices that work with the aggregator, in words; "" where there are
        no groups.
        """
        if not self.is_secagg:
            return ""
        gamma_milli = self.device_limits.gamma_milli
        if gamma_milli == 0:
            return (
                "none counted: every device of a group must be honest for ε to hold. The product"
                f" allows for {DeviceLimits().gamma_milli // 10} % of a group working with the"
                " aggregator"
            )
        return f"ε holds while at most {gamma_milli // 10} % of a group work with the aggregator"

    @property
    def delta(self) -> float:
        return 1 / DELTA_INVERSE

    @property
    def planned_rounds(self) -> int:
        """Rounds that share the budget. More than the demonstration runs, where the price of one
        would exceed what a device spends on a round.
        """
        return max(
            self.rounds, math.ceil(rho_for_epsilon(self.epsilon, self.delta) / MAX_RHO_UNITS)
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
        """Options of `aegis-server init` for this many simulated devices and full agents.

        `model`: a model's file, or the folder of a detector with a base.
        """
        steps, clip_milli = STEPS_AND_CLIP_MILLI[Mode(self.mode)]
        limits = self.device_limits
        senders = simulated - self.drop_outs_each_round(simulated) + full_agents
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
                "join-seconds": JOIN_S + min(self.devices // 3, MAX_MORE_JOIN_S),
                "phase-seconds": PHASE_S + self.devices // 10
                if self.drop
                else 2 * PHASE_S + self.devices // 2,
                "poll-seconds": 1,
                **({"group-floor": limits.min_group} if limits.are_for_tests else {}),
            }
        if self.has_base:
            # The recipe of the detector states these.
            options["detector"] = options.pop("model")
            for name in ("train-steps", "train-rate-milli", "clip-milli"):
                del options[name]
            for name in ("server-rate-milli", "server-decay-milli"):
                del options[name]
        pairs = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        return [*pairs, "--fast-spending"]

    @property
    def round_seconds(self) -> int:
        """How long a round waits for a missing device."""
        return 90 + 2 * self.devices

    def drop_outs_each_round(self, simulated: int) -> int:
        """At least one device stays."""
        return min(round(self.drop * simulated), simulated - 1)

    def drop_outs(self, number: int, simulated: int) -> dict[int, str]:
        """The simulated devices that drop out of a round, and before which message each does."""
        rng = np.random.default_rng((self.seed, number))
        chosen = sorted(rng.choice(simulated, self.drop_outs_each_round(simulated), replace=False))
        before = PHASES if self.is_secagg else ("masked",)
        return {
            int(device): before[(number + place) % len(before)]
            for place, device in enumerate(chosen)
        }
