"""Reads the operator's rows for the root update and the canary, again whenever their files change.

The root update is made from the rows that the server learns from. The canary judges on the rows of
the calibration, which nothing was trained on; where there are none, half of the rows are its own
and the root update is made from the other half. (The server's own step learns from all of them, so
the canary is then weaker than it is with a calibration.)
"""

from pathlib import Path

import numpy as np

from agent.detector.families.family import Prepared, Scorer
from agent.detector.families.table import family
from agent.protocol.messages import Task
from server_stub.config.home import ServerHome
from server_stub.publishing.calibration import read_calibration
from server_stub.publishing.heads import read_base_file
from server_stub.publishing.public_rows import PublicRows, read_public_rows
from server_stub.training.base import header_groups
from server_stub.validation.root import Reference, is_canary, parted

Stamp = tuple[tuple[int, int], ...]


class ReferenceReader:
    """Keeps the prepared rows while their files stay the same."""

    def __init__(self, home: ServerHome, task: Task) -> None:
        self._home, self._task = home, task
        self._read: tuple[Stamp, Reference | None] = ((), None)

    def __call__(self) -> Reference | None:
        """The operator's rows; None without any.

        Raises OperatorActionError BAD_ROWS, NO_BASE, PeerError MODEL_WRONG_SHAPE.
        """
        stamp = tuple(map(_stamp, (self._home.rows_file, self._home.calibration_file)))
        if stamp != self._read[0]:
            self._read = (stamp, self._prepared())
        return self._read[1]

    def _prepared(self) -> Reference | None:
        if not self._home.rows_file.is_file():
            return None
        rows = read_public_rows(self._home.rows_file)
        base = read_base_file(self._home, self._task)
        alpha = self._task.base_weight_milli / 1000
        scorer = family(self._task.model).scorer(base, alpha)
        prepared = _learned_from(rows, scorer, alpha, has_base=bool(base))
        kept = read_calibration(self._home.calibration_file)
        if kept is not None:
            canary = scorer.prepare(kept.rows)
            return Reference(prepared, rows.labels, canary, kept.labels, kept.fpr)
        return parted(prepared, rows.labels, is_canary(header_groups(rows.rows)))


def _learned_from(rows: PublicRows, scorer: Scorer, alpha: float, *, has_base: bool) -> Prepared:
    """The rows as training sees them: a base has not seen them (`PublicRows.logits`)."""
    prepared = scorer.prepare(rows.rows)
    offsets = alpha * rows.logits if has_base else np.zeros(len(rows))
    return Prepared(offsets, prepared.features)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        state = path.stat()
    except FileNotFoundError:
        return 0, 0
    return state.st_mtime_ns, state.st_ino
