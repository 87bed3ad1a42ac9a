"""Trains an operator's detector: the base, the head to start from, and the rows for the replay.

`aegis-server model train` writes a folder of four files, which `aegis-server init --detector`
takes: `base.safetensors`, `head.safetensors`, `rows.npz`, and `report.json` with the recipe and
the figures.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agent.detector.families import linear
from agent.detector.families.base_head import BaseHead
from agent.detector.families.family import Floats, Head, Labels
from agent.detector.model import metrics
from agent.errors import OperatorActionError
from agent.files import atomic_file
from server_stub.cli.operator_table import OperatorTable
from server_stub.config.home import BASE_FILE, ROWS_FILE
from server_stub.publishing.public_rows import PublicRows, write_public_rows
from server_stub.training.base import TrainedBase, train_base
from server_stub.training.recipe import HeadRecipe, Recipe

HEAD_FILE, REPORT_FILE = "head.safetensors", "report.json"
MIN_ROWS = 100


@dataclass(frozen=True)
class DetectorFolder:
    """The files of a detector that was trained."""

    folder: Path

    @property
    def base(self) -> bytes:
        return self._read(BASE_FILE)

    @property
    def head(self) -> bytes:
        return self._read(HEAD_FILE)

    @property
    def rows_file(self) -> Path:
        return self.folder / ROWS_FILE

    @property
    def recipe(self) -> HeadRecipe:
        """How a fleet trains the head. Raises OperatorActionError BAD_DETECTOR."""
        try:
            return HeadRecipe(**self._report()["recipe"]["head"])
        except (KeyError, TypeError) as error:
            raise self._bad(REPORT_FILE) from error

    @property
    def is_demonstration(self) -> bool:
        """Whether it was trained on generated rows, and protects nobody."""
        return bool(self._report().get("demonstration"))

    def _report(self) -> dict[str, Any]:
        try:
            report = json.loads(self._read(REPORT_FILE))
        except ValueError as error:
            raise self._bad(REPORT_FILE) from error
        if not isinstance(report, dict):
            raise self._bad(REPORT_FILE)
        return report

    def _read(self, name: str) -> bytes:
        try:
            return (self.folder / name).read_bytes()
        except OSError as error:
            raise self._bad(name) from error

    def _bad(self, name: str) -> OperatorActionError:
        return OperatorActionError(
            "BAD_DETECTOR",
            f"{name} of the detector's folder cannot be read.",
            "Make the folder with `aegis-server model train`.",
        )


def train(
    table: OperatorTable, recipe: Recipe, seed: int, progress: Callable[[str], None]
) -> tuple[TrainedBase, PublicRows, Head]:
    """Train a base on the rows that are not in the hold-out. The head starts at zero.

    From a head that the public rows alone lead to, the fleet needs many more rounds: it would first
    have to undo what they say about files that only its computers have.

    Raises UserActionError ONE_CLASS, OperatorActionError TOO_FEW_ROWS.
    """
    known = table.take(~table.held_out)
    known.check_both_classes()
    if len(known) < MIN_ROWS:
        raise OperatorActionError(
            "TOO_FEW_ROWS",
            f"{len(known)} rows are too few for a base; it takes {MIN_ROWS}.",
            "Add rows.",
        )
    trained = train_base(known.rows, known.labels, recipe.base, seed, progress)
    weights = np.zeros(trained.base.d)
    head = Head(weights, weights, trained.base.digest)
    return trained, PublicRows(known.rows, known.labels, trained.out_of_fold), head


def write(
    out: Path,
    trained: TrainedBase,
    rows: PublicRows,
    head: Head,
    report: dict[str, Any],
) -> None:
    """Write the four files. Raises OperatorActionError CANNOT_WRITE."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        atomic_file.write(out / BASE_FILE, trained.base.content)
        atomic_file.write(out / HEAD_FILE, BaseHead().write_head(head))
        write_public_rows(out / ROWS_FILE, rows)
        atomic_file.write(out / REPORT_FILE, json.dumps(report, indent=1).encode() + b"\n")
    except OSError as error:
        raise OperatorActionError(
            "CANNOT_WRITE",
            f"The detector could not be written: {error.strerror}.",
            "Choose another folder with --out.",
        ) from error


def report_of(
    table: OperatorTable,
    recipe: Recipe,
    seed: int,
    started: float,
    trained: TrainedBase,
    head: Head,
) -> dict[str, Any]:
    """Return what was trained, on what, and how well it does on the rows of the hold-out."""
    known = table.take(~table.held_out)
    hold_out = table.take(table.held_out)
    report: dict[str, Any] = {
        "family": BaseHead().name,
        "seed": seed,
        "recipe": asdict(recipe),
        "d": trained.base.d,
        "base_sha256": trained.base.digest,
        "base_bytes": len(trained.base.content),
        "rows": len(known),
        "malicious": int(known.labels.sum()),
        "sources": sorted(set(known.sources.tolist())),
        "seconds": round(time.monotonic() - started, 1),
        "out_of_fold": _figures(known.labels, linear.probability(trained.out_of_fold)),
        "hold_out": None,
    }
    if len(hold_out) and len(set(hold_out.labels.tolist())) == 2:
        scorer = BaseHead().scorer(trained.base.content, recipe.head.alpha)
        chances = linear.probability(linear.logits(scorer.prepare(hold_out.rows), head.scored))
        report["hold_out"] = _figures(hold_out.labels, chances)
    return report


def _figures(labels: Labels, chances: Floats) -> dict[str, float]:
    found = metrics(labels, chances)
    return {name: round(float(value), 6) for name, value in asdict(found).items()}


def warnings_of(table: OperatorTable) -> list[str]:
    """Return what an operator should know about the table."""
    found = []
    if count := table.shared_headers():
        found.append(
            f"{count} hold-out rows have the header of a training row (CheckSum apart): figures on"
            " them flatter."
        )
    if alone := table.sources_of_one_class():
        found.append(
            f"All rows of {', '.join(alone)} are of one sort: the model may learn the source"
            " instead of the difference."
        )
    share = float(np.mean(table.labels)) if len(table) else 0.0
    if not 0.02 <= share <= 0.98:
        found.append(f"{share:.1%} of the rows are malicious: the rarer sort is hardly learned.")
    return found
