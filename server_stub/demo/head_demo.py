"""A demonstration with a base: the operator has public rows of both sorts, and the devices have
benign files of software that the operator does not know.

1. The devices' rows are the benign training rows of the sources without malware. Where a table
   has no such source, half of its groups are the operator's, and the devices have the benign rows
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

from agent.detector.families.family import Floats, Head, Labels, Rows
from agent.detector.families.linear import benign_update
from agent.detector.scoring import Detector, read_model
from agent.errors import UserActionError
from agent.privacy.codec import clip
from agent.protocol.jobs import ModelFiles
from server_stub.demo.evaluation import Evaluation, evaluate_chances
from server_stub.demo.plan import DemoPlan
from server_stub.publishing.public_rows import PublicRows, read_public_rows
from server_stub.simulation.data import Share, from_file, rows_of
from server_stub.training.base import header_groups
from server_stub.training.recipe import HeadRecipe
from server_stub.training.server_step import HeadState, Replay, replay, server_step, start

FAMILY = "base+head/1"
ROWS_EACH = 10
"""On a device: people have few programs that nobody else has."""
KEPT = 0.97
"""Share of the malware that the threshold of the headline finds."""
ALL = "all"


@dataclass(frozen=True, eq=False)
class HeadTable:
    """Who has which rows of a table."""

    origin: str
    rows: Rows
    labels: Labels
    public: NDArray[np.bool_]
    """(n,): the operator's."""
    devices: NDArray[np.bool_]
    """(n,): benign rows that devices may have."""
    held_out: NDArray[np.bool_]
    unfamiliar: NDArray[np.bool_]
    """(n,): from sources that the operator has no row of."""

    def shares(self, devices: int, seed: int) -> tuple[Share, ...]:
        """Deal each device its rows; devices share files, as they do in life."""
        pool, draw = np.flatnonzero(self.devices), np.random.default_rng(seed)
        if len(pool) < ROWS_EACH:
            raise UserActionError(
                "TOO_FEW_ROWS",
                f"{len(pool)} benign rows are too few for devices.",
                "Give a table with more benign rows.",
            )
        dealt = [draw.permutation(pool)[:ROWS_EACH] for _ in range(devices)]
        return tuple(Share(self.rows[rows], self.labels[rows]) for rows in dealt)

    def write_public(self, path: Path) -> None:
        """Write the operator's rows as a table of their own."""
        np.savez(path, X=self.rows[self.public], y=self.labels[self.public])

    def judge(self, detector: Detector) -> Evaluation:
        """Judge a model on the hold-out."""
        chances = detector.probability(self.rows[self.held_out])
        labels, unfamiliar = self.labels[self.held_out], self.unfamiliar[self.held_out]
        threshold = float(np.quantile(chances[labels == 1], 1 - KEPT, method="lower"))
        alarms = chances[(labels == 0) & unfamiliar] >= threshold
        found = evaluate_chances(labels, chances)
        return replace(found, alarms=float(np.mean(alarms)) if len(alarms) else None)


def read_table(path: Path, seed: int) -> HeadTable:
    """Read a table and say who has which rows. Raises UserActionError BAD_TABLE."""
    from_file(path, seed)  # checks that training rows and hold-out have both classes
    rows, labels = rows_of(path)
    with np.load(path, allow_pickle=False) as arrays:
        columns = {name: arrays[name] for name in ("split", "source") if name in arrays}
    source = columns.get("source", np.zeros(len(labels), np.int64))
    held_out = columns["split"] == 1 if "split" in columns else _part(rows, seed, 5)
    names = np.unique(source)
    alone = [name for name in names if not labels[source == name].any()]
    unfamiliar = np.isin(source, alone)
    if not alone:
        unfamiliar = _part(rows, seed + 1, 2)
    public, devices = ~held_out & ~unfamiliar, ~held_out & unfamiliar & (labels == 0)
    if len(np.unique(labels[public])) < 2 or not devices.any():
        raise UserActionError(
            "BAD_TABLE",
            "The table cannot be used: the operator needs rows of both sorts, and devices benign"
            " ones.",
            "Give an .npz file with X (n, 29), y (n) and source (n).",
        )
    return HeadTable(path.name, rows, labels, public, devices, held_out, unfamiliar)


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
        return ModelFiles(head, self.base, FAMILY, round(1000 * self.recipe.alpha))

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


def headline(before: Evaluation, after: Evaluation, control: Evaluation | None) -> str:
    """The reason to federate, in a sentence; "" where nothing was counted."""
    if before.alarms is None or after.alarms is None:
        return ""
    text = (
        f"False alarms on software that nobody trained on: {before.alarms:.1%} before and"
        f" {after.alarms:.1%} after, at the threshold that finds {KEPT:.0%} of the malware."
    )
    if control is None or control.alarms is None:
        return text
    return f"{text} The same rounds without devices: {control.alarms:.1%}."


def _part(rows: Rows, seed: int, parts: int) -> NDArray[np.bool_]:
    """Mark about one part of the groups of equal headers, each as a whole."""
    groups = header_groups(rows)
    chosen: NDArray[np.bool_] = (
        np.random.default_rng(seed).integers(0, parts, groups.max() + 1) == 0
    )
    return chosen[groups]
