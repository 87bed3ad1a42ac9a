"""What a demonstration learns, who has which rows, and what its result is compared with: one way
for a logistic model, one for a head on a base.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.detector.model import DIMENSION, Metrics, from_safetensors, to_safetensors, zeros
from agent.detector.synthetic import generate
from server_stub.demo import baselines, head_demo
from server_stub.demo.evaluation import Evaluation, evaluate
from server_stub.demo.head_demo import read_detectors
from server_stub.demo.local_server import TRAINING_S, run_command
from server_stub.demo.plan import GENERATED_ROWS, GROUP_ROWS, ROWS_EACH, DemoPlan
from server_stub.simulation import data
from server_stub.simulation.data import Share, Table

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""Boosting with several threads waits at a barrier thousands of times. On a busy machine each wait
lasts until the slowest thread gets its turn. One thread also makes the base a function of the
seed alone."""
SHUFFLES = 10
"""A model of shuffled labels points in a random direction, so a single one may score above or below
0.5. Only the mean of many shows that there is nothing to learn."""


@dataclass(frozen=True)
class Comparison:
    """Models that were computed here, beside the one of the fleet."""

    without_noise: Evaluation
    central: Evaluation
    shuffled: Metrics | None
    control: Evaluation | None


@dataclass(frozen=True, eq=False)
class Subject:
    """What is learned, and how it is judged."""

    origin: str
    shares: tuple[Share, ...]
    """The rows of each device."""
    holdout_labels: NDArray[np.int64]
    model: Path
    """A model's file, or the folder of a detector with a base."""
    judge: Callable[[bytes], Evaluation]
    compare: Callable[[], Comparison]
    after_init: tuple[tuple[str, ...], ...] = ()
    """Commands of `aegis-server` that the operator gives before the first round."""


def make_subject(plan: DemoPlan, folder: Path) -> Subject:
    """Read or generate the rows, and make the model to start from, in `folder`.

    Raises UserActionError BAD_TABLE, TOO_FEW_ROWS.
    """
    return _with_base(plan, folder) if plan.has_base else _logistic(plan, folder)


def make_table(plan: DemoPlan) -> Table:
    """The rows: from a person's file, or from the project's generator.

    Raises UserActionError BAD_TABLE.
    """
    if plan.data is not None:
        return data.from_file(plan.data, plan.seed)
    rows = generate(np.random.default_rng(plan.seed), GENERATED_ROWS, group_rows=GROUP_ROWS)
    origin = (
        f"{GENERATED_ROWS:,} rows of the project's own generator; a fifth of the groups is the"
        " hold-out"
    )
    return data.from_arrays(
        origin, rows.rows, rows.labels, data.held_out_groups(rows.groups, plan.seed)
    )


def _logistic(plan: DemoPlan, folder: Path) -> Subject:
    table = make_table(plan)
    shares = data.deal(table, plan.devices, ROWS_EACH, plan.seed)
    untrained = folder / "untrained.safetensors"
    untrained.write_bytes(to_safetensors(zeros(), demonstration=True))
    begin, training = np.zeros(DIMENSION), plan.training

    def compare() -> Comparison:
        shuffled = [
            baselines.federated(baselines.shuffled(shares, seed), begin, training)
            for seed in range(SHUFFLES)
        ]
        return Comparison(
            evaluate(baselines.federated(shares, begin, training), table),
            evaluate(baselines.central(shares), table),
            baselines.mean_of([evaluate(weights, table).metrics for weights in shuffled]),
            None,
        )

    return Subject(
        table.origin,
        shares,
        table.holdout_labels,
        untrained,
        lambda content: evaluate(from_safetensors(content).weights, table),
        compare,
    )


def _with_base(plan: DemoPlan, folder: Path) -> Subject:
    path = plan.data if plan.data is not None else _generated(plan, folder / "generated.npz")
    table = head_demo.read_table(path, plan.seed)
    shares = table.shares(plan.devices, plan.seed)
    public, out = folder / "public.npz", folder / "detector"
    can_calibrate = table.write_public(public, plan.seed)
    words = head_demo.training_words(plan, public, out)
    run_command(words, {**os.environ, **ONE_THREAD}, TRAINING_S)
    detectors = read_detectors(table, out)

    def compare() -> Comparison:
        return Comparison(
            detectors.without_noise(shares, plan.rounds),
            detectors.central(shares, plan.rounds),
            None,
            detectors.without_noise((), plan.rounds),
        )

    origin = table.origin
    if plan.data is None:
        origin = (
            f"{GENERATED_ROWS:,} rows of the project's own generator; the operator lacks every"
            " second kind of benign software"
        )
    return Subject(
        origin,
        shares,
        table.holdout_labels,
        out,
        detectors.judge_file,
        compare,
        (head_demo.calibration_words(public),) if can_calibrate else (),
    )


def _generated(plan: DemoPlan, path: Path) -> Path:
    """Write generated rows; every second kind of benign software is a source of its own."""
    rows = generate(np.random.default_rng(plan.seed), GENERATED_ROWS, group_rows=GROUP_ROWS)
    benign = sorted(
        {name for name, label in zip(rows.families, rows.labels, strict=True) if not label}
    )
    unfamiliar = np.isin(rows.families, benign[1::2])
    split = data.held_out_groups(rows.groups, plan.seed)
    np.savez(path, X=rows.rows, y=rows.labels, split=split, source=unfamiliar.astype(np.int64))
    return path
