"""A demonstration with a base: the operator has public rows of both sorts, and the devices have
benign files of software that the operator does not know.

1. The devices' rows are the benign training rows of the sources without malware. Where a table
   has no such source, half of its headers are the operator's, and the devices have the benign rows
   of the other half.
2. The hold-out is on no side. False alarms are counted on its benign rows from the devices'
   sources, at the threshold that finds KEPT of its malware.
3. The control makes the same rounds without devices: what it reaches is the merit of the
   operator's rows, not of the fleet.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.detector.families.family import Floats, Head, Labels
from agent.detector.families.linear import benign_update
from agent.detector.scoring import Detector, read_model
from agent.errors import UserActionError
from agent.privacy.codec import clip
from agent.protocol.jobs import ModelFiles
from server_stub.demo.evaluation import Alarms, Evaluation, evaluate_chances
from server_stub.demo.intervals import wilson
from server_stub.demo.plan import BASE_HEAD, DemoPlan
from server_stub.publishing.public_rows import PublicRows, read_public_rows
from server_stub.simulation.compositions import FILES, Composition, Pool, deal
from server_stub.simulation.data import (
    Share,
    SourcedRows,
    held_out_groups,
    public_rows,
    sourced,
)
from server_stub.training.base import header_groups
from server_stub.training.recipe import HeadRecipe
from server_stub.training.server_step import HeadState, Replay, replay, server_step, start

MIN_BENIGN = 100
"""Benign rows that a calibration takes."""
STATED_FPR = 0.05
"""Of the calibration. In a fleet of twenty a smaller rate says little: the canary would refuse
honest rounds by chance."""
KEPT = 0.97
"""Share of the malware that the threshold of the headline finds."""


@dataclass(frozen=True, eq=False)
class HeadTable:
    """Who has which rows of a table."""

    table: SourcedRows
    public: NDArray[np.bool_]
    """(n,): the operator's."""

    @property
    def origin(self) -> str:
        return self.table.origin

    @property
    def holdout_labels(self) -> Labels:
        return self.table.labels[self.table.held_out]

    @property
    def pool(self) -> Pool:
        """Benign training rows that the operator does not have."""
        table = self.table
        rows = np.flatnonzero(~table.known & ~table.held_out & (table.labels == 0))
        return Pool(rows, table.labels[rows], table.sources[rows], np.full(len(rows), -1))

    def shares(self, devices: int, seed: int) -> tuple[Share, ...]:
        """Deal each device ten rows; devices share files, as they do in life.

        Raises UserActionError TOO_FEW_ROWS.
        """
        if len(self.pool.rows) < FILES:
            raise UserActionError(
                "TOO_FEW_ROWS",
                f"{len(self.pool.rows)} benign rows are too few for devices.",
                "Give a table with more benign rows.",
            )
        dealt = deal(Composition.REAL, self.pool, devices, np.random.default_rng(seed))
        return tuple(Share(self.table.rows[rows], self.table.labels[rows]) for rows in dealt)

    def write_public(self, path: Path, seed: int) -> bool:
        """Write the operator's rows as a table of their own. A fifth of them is its hold-out, which
        calibrates each model; returns False, and holds nothing out, where that would be too few.
        """
        rows, labels = self.table.rows[self.public], self.table.labels[self.public]
        kept = held_out_groups(header_groups(rows), seed)
        can_calibrate = bool(np.sum(labels[kept] == 0) >= MIN_BENIGN and labels[kept].any())
        if not can_calibrate:
            kept = np.zeros(len(labels), bool)
        np.savez(path, X=rows, y=labels, split=kept.astype(np.int64))
        return can_calibrate

    def judge(self, detector: Detector) -> Evaluation:
        """Judge a model on the hold-out."""
        held_out, labels = self.table.held_out, self.holdout_labels
        chances, known = detector.probability(self.table.rows[held_out]), self.table.known[held_out]
        threshold = float(np.quantile(chances[labels == 1], 1 - KEPT, method="lower"))
        called = chances >= threshold
        return replace(
            evaluate_chances(labels, chances),
            alarms=_alarms(called[(labels == 0) & ~known]),
            alarms_known=_alarms(called[(labels == 0) & known]),
        )


def read_table(path: Path, seed: int) -> HeadTable:
    """Read a table and say who has which rows. Raises UserActionError BAD_TABLE."""
    table = sourced(path, seed)
    return HeadTable(table, public_rows(table))


def _alarms(called: NDArray[np.bool_]) -> Alarms | None:
    if not len(called):
        return None
    return Alarms(float(np.mean(called)), wilson(int(called.sum()), len(called)))


@dataclass(frozen=True, eq=False)
class Detectors:
    """The operator's detector, and what it becomes without noise and without devices."""

    table: HeadTable
    base: bytes
    head: bytes
    """The head to start from."""
    rows: PublicRows
    recipe: HeadRecipe

    def files(self, head: bytes) -> ModelFiles:
        """Return the files of a model of this demonstration."""
        return ModelFiles(head, self.base, BASE_HEAD, round(1000 * self.recipe.alpha))

    @property
    def start(self) -> Detector:
        return read_model(self.files(self.head))

    def judge_file(self, head: bytes) -> Evaluation:
        """Judge the head that the aggregator published."""
        return self.table.judge(read_model(self.files(head)))

    def without_noise(self, shares: tuple[Share, ...], rounds: int) -> Evaluation:
        """The same rounds without noise; without devices where there are no shares."""
        detector, recipe = self.start, self.recipe
        prepared = [detector.prepare(share.rows) for share in shares]
        state, public = start(detector.head.trained), self._public()
        for _ in range(rounds):
            updates = [clip(benign_update(rows, state.trained), recipe.clip) for rows in prepared]
            mean = np.mean(updates, axis=0) if updates else np.zeros(detector.scorer.d)
            state = server_step(state, mean, public, recipe)
        return self._judge(detector, state.scored)

    def central(self, shares: tuple[Share, ...], rounds: int) -> Evaluation:
        """The same rounds in one place: the devices' rows are among the operator's."""
        detector, recipe, public = self.start, self.recipe, self._public()
        rows = np.unique(np.concatenate([share.rows for share in shares]), axis=0)
        own = detector.prepare(rows)
        prepared = replace(
            public.prepared,
            offsets=np.concatenate([public.prepared.offsets, own.offsets]),
            features=np.concatenate([public.prepared.features, own.features]),
        )
        labels = np.concatenate([public.labels, np.zeros(len(rows), np.int64)])
        state: HeadState = start(detector.head.trained)
        for _ in range(rounds):
            state = server_step(
                state, np.zeros(detector.scorer.d), replay(prepared, labels), recipe
            )
        return self._judge(detector, state.scored)

    def _public(self) -> Replay:
        return self.rows.replay(self.base, self.recipe.alpha)

    def _judge(self, detector: Detector, scored: Floats) -> Evaluation:
        head: Head = replace(detector.head, trained=scored, scored=scored)
        return self.table.judge(replace(detector, head=head))


def read_detectors(table: HeadTable, folder: Path) -> Detectors:
    """Read what `aegis-server model train` left in a folder."""
    return Detectors(
        table,
        (folder / "base.safetensors").read_bytes(),
        (folder / "head.safetensors").read_bytes(),
        read_public_rows(folder / "rows.npz"),
        HeadRecipe(**json.loads((folder / "report.json").read_text())["recipe"]["head"]),
    )


def training_words(plan: DemoPlan, data: Path, out: Path) -> tuple[str, ...]:
    """The words of `aegis-server model train` for this demonstration."""
    options = {
        "--data": data,
        "--out": out,
        "--devices": plan.devices,
        "--rounds": plan.rounds,
        "--seed": plan.seed,
    }
    return ("model", "train", *(str(word) for pair in options.items() for word in pair))


def calibration_words(data: Path) -> tuple[str, ...]:
    """The words of `aegis-server model calibrate` for this demonstration."""
    return ("model", "calibrate", "--data", str(data), "--fpr", str(STATED_FPR))


def headline(before: Evaluation, after: Evaluation, control: Evaluation | None) -> str:
    """The reason to federate, and its price, in sentences; "" where nothing was counted."""
    if before.alarms is None or after.alarms is None:
        return ""
    text = (
        f"False alarms on software that nobody trained on: {_in_words(before.alarms)} before and"
        f" {_in_words(after.alarms)} after, at the threshold that finds {KEPT:.0%} of the malware."
    )
    if before.alarms.interval.overlaps(after.alarms.interval):
        text += " That may be chance: the 95 % intervals overlap."
    if control is not None and control.alarms is not None:
        text += f" The same rounds without devices: {control.alarms.share:.1%}."
    if before.alarms_known is not None and after.alarms_known is not None:
        text += (
            " On other software of the kinds that the operator knows:"
            f" {before.alarms_known.share:.1%} before and {after.alarms_known.share:.1%} after."
        )
    return text


def _in_words(alarms: Alarms) -> str:
    low, high = 100 * alarms.interval.low, 100 * alarms.interval.high
    return f"{alarms.share:.1%} ({low:.1f}–{high:.1f})"
