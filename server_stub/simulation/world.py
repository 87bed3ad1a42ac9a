"""The simulated world: devices with rows and ledgers, rounds with new groups, and the model.

In each round a device asks its ledger, trains, and then clips, rounds and noises its update with
the real codec. Some devices fall silent in a phase. Sums are opened, range-checked, decoded and
averaged. How a group gets its sum is passed in: by the protocol, or by its arithmetic alone.
"""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.detector.model import Metrics
from agent.detector.schema import SCHEMA
from agent.errors import PeerError, UserActionError
from agent.privacy import codec
from agent.privacy.budget import FAST_SPENDING, Allowed, Budget, Spent, decide
from agent.privacy.plan import RoundIdentity, padded, plan_secagg
from agent.privacy.policy import DeviceLimits
from agent.privacy.zcdp import rho_for_epsilon, rho_sum_units, rho_units
from agent.protocol.messages import Mode, RoundConfig, Task
from server_stub.simulation import attacks
from server_stub.simulation.attacks import Attack
from server_stub.simulation.groups import PHASES, OpenGroup, Words
from server_stub.simulation.report import Round
from server_stub.simulation.training import Learners, Learning

DELTA = 1e-5
PERIOD_DAYS = 365
EXPECTED_SHARE = 0.9
"""The smallest sum, as a share of the devices that stay in a group on average."""
ROUND_S = 3600
MODEL_DIGEST = sha256(b"simulation").hexdigest()
"""Models are not files here: one digest stands for all of them."""
ANY = "any"


@dataclass(frozen=True)
class Options:
    devices: int
    rounds: int
    data: Path
    holdout: Path | None
    epsilon: float
    group: int
    drop: float
    drop_phase: str
    attack: Attack
    attackers: float
    family: str
    machines: bool | None
    coordinates: int | None
    """Coordinates that each device sends: a subset drawn for each round, the same for all; None:
    all."""
    plain: bool
    """Without protection."""
    top_k: int | None
    seed: int


def planned(options: Options, recipe: Learning) -> tuple[RoundConfig, DeviceLimits, Task]:
    """The configuration of the rounds, whose prices add up to the budget, and the limits of the
    devices.

    Raises OperatorActionError PRICE_TOO_LOW, GROUP_PLAN; UserActionError PRICE_TOO_HIGH,
    TOO_MANY_COORDINATES.
    """
    # Rounded down, so that the last round still fits into the budget.
    price = rho_for_epsilon(options.epsilon, DELTA) // options.rounds
    if price > DeviceLimits().max_rho_units:
        raise UserActionError(
            "PRICE_TOO_HIGH",
            "One round would cost more than a device spends on a round.",
            "Ask for more rounds or a smaller ε.",
        )
    if (options.coordinates or 0) > padded(recipe.d) or (options.top_k or 0) > recipe.d:
        raise UserActionError(
            "TOO_MANY_COORDINATES", f"The model has {recipe.d} coordinates.", "Ask for fewer."
        )
    count = max(1, options.devices // options.group)
    largest, smallest = -(-options.devices // count), options.devices // count
    min_sum = max(2, int(EXPECTED_SHARE * (1 - options.drop) * smallest))
    # Small fleets need smaller groups than a device accepts; the report states the lowered limits.
    product = DeviceLimits()
    limits = replace(
        product,
        spending=FAST_SPENDING,
        min_group=min(product.min_group, smallest),
        min_sum=min(product.min_sum, min_sum),
    )
    task = Task(
        task_id="simulation",
        schema=SCHEMA,
        model=recipe.family,
        d=recipe.d,
        mode=Mode.SECAGG,
        train_steps=recipe.steps,
        train_rate_milli=round(recipe.rate * 1000),
        clip_milli=recipe.clip_milli(options.rounds),
        min_rows=1,
    )
    identity = round_identity(1, options.coordinates or 0, np.random.default_rng(options.seed))
    config = plan_secagg(
        task,
        identity,
        rho_units_per_round=price,
        g_max=largest,
        min_group=smallest,
        min_sum=min_sum,
        gamma_milli=limits.gamma_milli,
    )
    return config, limits, task


def round_identity(number: int, coordinates: int, draw: np.random.Generator) -> RoundIdentity:
    """Of round `number`, one hour long; its seeds come from `draw`."""
    return RoundIdentity(
        round_id=number,
        model_version=number,
        model_digest=MODEL_DIGEST,
        opens_at=number * ROUND_S,
        closes_at=(number + 1) * ROUND_S,
        rotation_seed=draw.bytes(32).hex(),
        subset_k=coordinates,
        subset_seed=draw.bytes(32).hex() if coordinates else "",
    )


@dataclass
class World:
    """One simulation under way."""

    options: Options
    fleet: Learners
    attacking: NDArray[np.bool_]
    config: RoundConfig
    draw: np.random.Generator
    """For groups and drop-outs; noise comes from the operating system."""
    open_group: OpenGroup
    central_units: int = 0
    """ρ that the sums over all devices cost, in the ledger's units."""
    traffic: list[tuple[float, float]] = field(default_factory=list)
    """Bytes up and down per device, by group, certificates included; empty where no messages
    exist."""

    def __post_init__(self) -> None:
        self.weights = np.zeros(self.fleet.recipe.d)
        self.charges: list[list[Spent]] = [[] for _ in range(self.options.devices)]
        # The lifetime ceiling is out of the way: only the period's budget is simulated.
        self._budget = Budget(self.options.epsilon, DELTA, PERIOD_DAYS, 3 * self.options.epsilon)

    def run_round(self, number: int, evaluate: Callable[[], Metrics]) -> Round:
        """Run one round; `evaluate` is called on the model after it."""
        identity = round_identity(number, self.config.subset_k, self.draw)
        config = replace(self.config, **asdict(identity))
        price, now = rho_units(config), config.opens_at
        willing = [
            device
            for device, charges in enumerate(self.charges)
            if isinstance(decide(self._budget, FAST_SPENDING, charges, now, price), Allowed)
        ]
        silent = self._drop_outs()
        total, count, honest, opened, rejected, answered = (
            np.zeros_like(self.weights),
            0,
            0,
            0,
            0,
            dict.fromkeys(PHASES, 0),
        )
        groups = self._groups(willing)
        for members in groups:
            outcome = self.open_group(
                config,
                [self._words(device, config) for device in members],
                [silent[device] for device in members],
            )
            if outcome.bytes_up is not None and outcome.bytes_down is not None:
                self.traffic.append((outcome.bytes_up, outcome.bytes_down))
            for place in outcome.charged:
                self.charges[members[place]].append(Spent(now, price))
            answered = {phase: answered[phase] + outcome.answered[phase] for phase in PHASES}
            if outcome.words is None:
                continue
            opened += 1
            try:
                mean = codec.decode_sum(outcome.words, config, len(outcome.survivors))
            except PeerError:
                rejected += 1
                continue
            total += mean * len(outcome.survivors)
            count += len(outcome.survivors)
            honest += self._honest([members[place] for place in outcome.survivors])
        if count:
            self.weights = self.fleet.advance(self.weights, total / count)
            # A device can always count on its own noise.
            self.central_units += rho_sum_units(config, max(1, honest), count)
        return Round(
            number,
            len(groups),
            opened,
            rejected,
            count,
            answered,
            len(self.charges) - len(willing),
            evaluate(),
        )

    def _honest(self, survivors: list[int]) -> int:
        """How many of a group surely bring their noise: neither the attackers nor the colluders
        that the ledger's price leaves out, whichever are more.
        """
        attackers = int(self.attacking[survivors].sum())
        return max(0, len(survivors) - max(attackers, self.config.colluders))

    def _groups(self, willing: list[int]) -> list[list[int]]:
        count = max(1, self.options.devices // self.options.group)
        shuffled = self.draw.permutation(willing)
        return [
            piece.tolist()
            for piece in np.array_split(shuffled, count)
            if len(piece) >= self.config.min_group
        ]

    def _drop_outs(self) -> list[str]:
        """For each device the phase from which on it is silent; "" for none."""
        # Both for every device, so that runs with the same seed draw the same groups whatever
        # --drop-phase says.
        drops_out = self.draw.random(self.options.devices) < self.options.drop
        phases = self.draw.integers(0, len(PHASES), self.options.devices)
        if self.options.drop_phase != ANY:
            phases[:] = PHASES.index(self.options.drop_phase)
        return [
            PHASES[phase] if drops else "" for phase, drops in zip(phases, drops_out, strict=True)
        ]

    def _words(self, device: int, config: RoundConfig) -> Words:
        attack = self.options.attack if self.attacking[device] else Attack.NONE
        # Noise from a seed could be subtracted again, so it never follows --seed.
        return attacks.words(
            attack, self.fleet.update(self.weights, device), config, os.urandom(32)
        )
