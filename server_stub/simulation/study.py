"""Runs of a fleet that trains the head of `base+head/1`: for each seed a base, then every
composition at every ε, with the control without devices beside them.

The control makes the same rounds with the operator's public rows alone. What it reaches is the
base's merit; only what comes on top is the fleet's.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.detector.families import linear
from agent.detector.families.base_head import BaseHeadScorer, read_base
from agent.detector.families.family import Floats, Prepared
from agent.detector.model import Metrics, metrics
from agent.privacy.policy import DeviceLimits, check_config
from agent.privacy.zcdp import epsilon
from agent.status import epsilon_in_words
from server_stub.simulation import compositions, data, heads
from server_stub.simulation.attacks import Attack
from server_stub.simulation.compositions import Composition, Pool
from server_stub.simulation.data import SourcedRows
from server_stub.simulation.figures import Holdout, Judgement
from server_stub.simulation.groups import open_directly
from server_stub.simulation.heads import HeadFleet, HeadLearning
from server_stub.simulation.unprotected import ClearWorld
from server_stub.simulation.world import DELTA, Options, World, planned
from server_stub.training.base import TrainedBase, train_base
from server_stub.training.recipe import Recipe
from server_stub.training.server_step import Replay, replay

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is run."""

    options: Options
    """Of each run, but for ε and the seed."""
    recipe: Recipe
    epsilons: tuple[float | None, ...]
    """None: without noise, which is not private."""
    compositions: tuple[Composition, ...]
    seeds: int
    """`options.seed` and the ones after it."""
    is_labelled: bool
    """Whether devices have labelled rows of both sorts."""
    packages: Path | None
    """The list of packages (`data.packages`)."""
    bases: Path | None
    """A folder that keeps trained bases, to find them again."""


@dataclass(frozen=True)
class Run:
    """One seed at one ε in one composition."""

    composition: Composition
    epsilon: float | None
    seed: int
    judgement: Judgement
    epsilon_ledger: float | None
    survivors: int
    """Updates in the sums of the last round."""
    seconds: float


@dataclass(frozen=True)
class SeedBase:
    """The base of one seed and what it is worth by itself."""

    seed: int
    digest: str
    alone: Judgement
    """f₀ without a head."""
    control: Judgement
    """The head after the same rounds without devices."""
    seconds: float


@dataclass(frozen=True)
class Study:
    plan: Plan
    origin: str
    rows_each: float
    """Rows on a device, on average."""
    public_rows: int
    holdout_rows: int
    device_limits: str
    group: int
    bases: tuple[SeedBase, ...]
    runs: tuple[Run, ...]
    seconds: float


@dataclass(frozen=True, eq=False)
class _Laboratory:
    """Everything that the runs of one seed share."""

    table: SourcedRows
    prepared: Prepared
    """All rows of the table, α·f₀ as offsets."""
    public: Replay
    held_out: Prepared
    holdout: Holdout
    recipe: Recipe

    def judge(self, head: Floats) -> Judgement:
        return self.holdout.judge(linear.logits(self.held_out, head))


def run(plan: Plan, progress: Progress = lambda _: None) -> Study:
    """Run every seed, composition and ε.

    Raises UserActionError BAD_TABLE, TOO_FEW_ROWS, PRICE_TOO_HIGH; OperatorActionError
    PRICE_TOO_LOW, GROUP_PLAN.
    """
    started, options = time.monotonic(), plan.options
    table = data.sourced(options.data, options.seed)
    judged = table if options.holdout is None else data.judged_rows(options.holdout)
    is_public = data.public_rows(table)
    pool = device_pool(table, is_public, plan)
    _, limits, _ = planned(_without_none(options), _learning(plan))
    bases, runs, rows_each = [], [], 0.0
    for seed in range(options.seed, options.seed + plan.seeds):
        clock = time.monotonic()
        tell = partial(_told, progress, f"seed {seed}")
        trained = _base(table, is_public, plan, seed, tell)
        room = _laboratory(table, judged, is_public, trained, plan.recipe)
        base = _judged(room, trained, seed, time.monotonic() - clock)
        tell(f"control without devices: {line(base.control)}")
        bases.append(base)
        for composition in plan.compositions:
            dealt = compositions.deal(
                composition, pool, options.devices, np.random.default_rng(seed)
            )
            rows_each = float(np.mean([len(rows) for rows in dealt]))
            for budget in plan.epsilons:
                one = _one(plan, room, dealt, composition, budget, seed)
                tell(f"{composition}, {budget_in_words(budget)}: {line(one.judgement)}")
                runs.append(one)
    return Study(
        plan=plan,
        origin=table.origin,
        rows_each=rows_each,
        public_rows=int(is_public.sum()),
        holdout_rows=int(judged.held_out.sum()),
        device_limits=_limits_in_words(limits),
        group=options.group,
        bases=tuple(bases),
        runs=tuple(runs),
        seconds=time.monotonic() - started,
    )


def device_pool(table: SourcedRows, is_public: NDArray[np.bool_], plan: Plan) -> Pool:
    """Return the rows that devices may have."""
    usable = ~table.held_out
    if not plan.is_labelled:
        usable &= ~is_public & (table.labels == 0)
    rows = np.flatnonzero(usable)
    packages = (
        np.full(len(rows), -1)
        if plan.packages is None
        else data.packages(plan.packages, table.rows[rows])
    )
    return Pool(rows, table.labels[rows], table.sources[rows], packages)


def budget_in_words(budget: float | None) -> str:
    """Return a run's budget as a label."""
    return "no noise" if budget is None else f"ε = {epsilon_in_words(budget)}"


def line(judgement: Judgement) -> str:
    """A judgement in one line."""
    alarms = ", ".join(f"{name} {100 * rate:.1f} %" for name, rate in judgement.fpr_of.items())
    return f"AUC {judgement.auc:.4f}, false alarms {alarms}"


def _one(
    plan: Plan,
    room: _Laboratory,
    dealt: tuple[NDArray[np.int64], ...],
    composition: Composition,
    budget: float | None,
    seed: int,
) -> Run:
    started, learning = time.monotonic(), _learning(plan)
    options = replace(_without_none(plan.options), seed=seed, epsilon=budget or 1.0)
    config, limits, task = planned(options, learning)
    check_config(config, task, limits)
    draw = np.random.default_rng(seed)
    attacking = np.zeros(options.devices, bool)
    if options.attack is not Attack.NONE:
        count = round(options.attackers * options.devices)
        attacking[draw.permutation(options.devices)[:count]] = True
    rows = heads.device_rows(room.prepared, room.table.labels, dealt, is_labelled=plan.is_labelled)
    flipped = attacking & (options.attack is Attack.LABEL_FLIP)
    fleet = HeadFleet(rows, room.public, plan.recipe.head, flipped)
    kind = ClearWorld if budget is None else World
    world = kind(options, fleet, attacking, config, draw, open_directly)
    last = None
    for number in range(1, options.rounds + 1):
        last = world.run_round(number, _no_metrics)
    charged = [sum(charge.units for charge in charges) for charges in world.charges]
    return Run(
        composition,
        budget,
        seed,
        room.judge(fleet.state.scored),
        None if budget is None else epsilon(max(charged), DELTA),
        0 if last is None else last.survivors,
        time.monotonic() - started,
    )


def _no_metrics() -> Metrics:
    # Only the last head is judged: scoring the hold-out in every round would take longer than the
    # rounds.
    return metrics(np.zeros(0, np.int64), np.zeros(0))


def _laboratory(
    table: SourcedRows,
    judged: SourcedRows,
    is_public: NDArray[np.bool_],
    trained: TrainedBase,
    recipe: Recipe,
) -> _Laboratory:
    scorer = BaseHeadScorer(trained.base, recipe.head.alpha)
    prepared = scorer.prepare(table.rows)
    public = Prepared(recipe.head.alpha * trained.out_of_fold, prepared.features[is_public])
    inside = judged.held_out
    return _Laboratory(
        table,
        prepared,
        replay(public, table.labels[is_public]),
        scorer.prepare(judged.rows[inside]),
        Holdout(judged.labels[inside], judged.sources[inside], judged.names),
        recipe,
    )


def _judged(room: _Laboratory, trained: TrainedBase, seed: int, seconds: float) -> SeedBase:
    d = trained.base.d
    without = heads.control(room.public, room.recipe.head, d)
    return SeedBase(
        seed,
        trained.base.digest,
        room.judge(np.zeros(d)),
        room.judge(without.scored),
        seconds,
    )


def _base(
    table: SourcedRows, is_public: NDArray[np.bool_], plan: Plan, seed: int, tell: Progress
) -> TrainedBase:
    """Train the base of a seed, or take it from the folder of bases."""
    rows, labels, recipe = table.rows[is_public], table.labels[is_public], plan.recipe.base
    if plan.bases is None:
        return train_base(rows, labels, recipe, seed, tell)
    key = sha256(repr((recipe, seed)).encode() + rows.tobytes() + labels.tobytes()).hexdigest()
    path = plan.bases / f"base-{key[:16]}.npz"
    if path.is_file():
        with np.load(path, allow_pickle=False) as kept:
            return TrainedBase(read_base(kept["base"].tobytes()), kept["out_of_fold"])
    trained = train_base(rows, labels, recipe, seed, tell)
    plan.bases.mkdir(parents=True, exist_ok=True)
    content = np.frombuffer(trained.base.content, np.uint8)
    np.savez(path, base=content, out_of_fold=trained.out_of_fold)
    return trained


def _learning(plan: Plan) -> HeadLearning:
    base = plan.recipe.base
    return HeadLearning(plan.recipe.head, base.laplacian + base.gaussian + 1)


def _without_none(options: Options) -> Options:
    return replace(options, family="base+head", plain=False)


def _limits_in_words(limits: DeviceLimits) -> str:
    if not limits.are_for_tests:
        return "product"
    return f"test floor: groups of {limits.min_group}, sums of {limits.min_sum}"


def _told(progress: Progress, who: str, text: str) -> None:
    progress(f"{who}: {text}")
