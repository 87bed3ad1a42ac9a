"""A server whose task has a base: what `init` takes from a detector's folder."""

from argparse import Namespace
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from agent.detector.families.base_head import BaseHead, read_base
from agent.errors import AegisError, OperatorActionError
from agent.files import atomic_file
from agent.protocol.messages import Task, TrainingRows
from server_stub.cli.model_training import DetectorFolder
from server_stub.config.home import ServerHome
from server_stub.publishing import demonstration
from server_stub.publishing.heads import check_has_rows
from server_stub.publishing.public_rows import PublicRows, read_public_rows, write_public_rows
from server_stub.rounds.lifecycle import RoundPlan

DEMONSTRATION = "demonstration"
"""In place of a folder: the detector that comes with the program."""


@dataclass(frozen=True, eq=False)
class Detector:
    """What a new server keeps for a family with a base."""

    task: Task
    base: bytes
    head: bytes
    rows: PublicRows | None
    server_rate_milli: int
    server_shrink_milli: int
    is_demonstration: bool

    def write(self, home: ServerHome) -> None:
        """Put base and rows into the server's folder, which exists."""
        atomic_file.write(home.base_file, self.base)
        if self.rows is not None:
            write_public_rows(home.rows_file, self.rows)

    @property
    def plan(self) -> RoundPlan:
        """The settings of rounds that the recipe states."""
        return RoundPlan(
            server_rate_milli=self.server_rate_milli, server_shrink_milli=self.server_shrink_milli
        )


def detector_of(options: Namespace, task: Task) -> Detector | None:
    """Read the detector that `init` names, and the task that follows from `task`; None without one.

    Options of the task that the person gave win over the recipe. Raises OperatorActionError
    BAD_DETECTOR, BAD_ROWS, NO_ROWS.
    """
    if options.detector is None:
        if options.rows is not None or options.train_on is not None:
            raise OperatorActionError(
                "BAD_SETTING",
                "--rows and --train-on belong to a detector with a base.",
                "Give --detector too.",
            )
        return None
    folder = DetectorFolder(options.detector)
    if options.detector == Path(DEMONSTRATION):
        folder = DetectorFolder(Path(demonstration.__file__).parent)
    recipe = folder.recipe
    base_file, head = folder.base, folder.head
    try:
        base = read_base(base_file)
        BaseHead().read_head(head, base.d)
    except AegisError as error:
        raise OperatorActionError(
            "BAD_DETECTOR", error.message, "Make the folder with `aegis-server model train`."
        ) from error
    path = options.rows or folder.rows_file
    rows = read_public_rows(path) if path.is_file() else None
    agreed = replace(
        task,
        model=BaseHead().name,
        d=base.d,
        # One gradient a round: neither steps nor a rate of the device's own.
        train_steps=1,
        train_rate_milli=1000,
        clip_milli=options.clip_milli or thousandths(recipe.clip),
        base_sha256=base.digest,
        rows=TrainingRows(options.train_on or TrainingRows.BENIGN),
        rounds=recipe.rounds,
        mean_weight_milli=thousandths(recipe.fleet_weight),
        base_weight_milli=thousandths(recipe.alpha),
    )
    check_has_rows(agreed, rows)
    return Detector(
        agreed,
        base_file,
        head,
        rows,
        thousandths(recipe.rate),
        thousandths(recipe.decay),
        folder.is_demonstration,
    )


def thousandths(value: float) -> int:
    """Return a figure of a recipe in thousandths."""
    return round(Fraction(str(value)) * 1000)
