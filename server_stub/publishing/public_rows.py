"""The operator's own rows of both sorts, which the server learns from beside the devices' updates.

They lie in the server's folder and leave it never. With each row comes the logit of a base that has
not seen the row (out of fold): a base knows the rows it was trained on too well for them to teach
the head anything.
"""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.detector.families.base_head import read_base
from agent.detector.families.family import Floats, Labels, Prepared, Rows
from agent.detector.schema import FEATURE_NAMES
from agent.detector.transform import transform
from agent.errors import OperatorActionError
from agent.files import atomic_file
from server_stub.training.server_step import Replay, replay

MAX_ROWS = 200_000
"""Prepared, each row takes up to 20 KB of memory at every publication."""


@dataclass(frozen=True, eq=False)
class PublicRows:
    rows: Rows
    """(n, 29)"""
    labels: Labels
    """(n,): 1 = malicious"""
    logits: Floats
    """(n,): f₀ by a base that has not seen the row."""

    def __len__(self) -> int:
        return len(self.labels)

    def replay(self, base: bytes, alpha: float) -> Replay:
        """Prepare the rows for the server's step. Takes a second for 20,000 rows."""
        features = read_base(base).features(transform(self.rows))
        return replay(Prepared(alpha * self.logits, features), self.labels)

    def joined(self, other: "PublicRows") -> "PublicRows":
        """Return these rows and those of `other` that are not among them."""
        known = {row.tobytes() for row in self.rows}
        fresh = np.array([row.tobytes() not in known for row in other.rows], bool)
        return PublicRows(
            np.concatenate([self.rows, other.rows[fresh]]),
            np.concatenate([self.labels, other.labels[fresh]]),
            np.concatenate([self.logits, other.logits[fresh]]),
        )

    def to_bytes(self) -> bytes:
        """The rows as an .npz file."""
        file = io.BytesIO()
        np.savez_compressed(file, X=self.rows, y=self.labels.astype(np.int8), logits=self.logits)
        return file.getvalue()


def read_public_rows(path: Path) -> PublicRows:
    """Read a file that `aegis-server model train` or `rows add` wrote.

    Raises OperatorActionError BAD_ROWS.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            rows = arrays["X"].astype(np.uint64)
            labels = arrays["y"].astype(np.int64)
            logits = arrays["logits"].astype(np.float64)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise _bad("it is not a file of `aegis-server model train`") from error
    fits = rows.ndim == 2 and rows.shape == (len(labels), len(FEATURE_NAMES))
    if not fits or logits.shape != labels.shape or not np.isfinite(logits).all():
        raise _bad("its rows, labels and logits do not fit together")
    _check_number(labels)
    if set(labels.tolist()) != {0, 1}:
        raise _bad("it needs benign and malicious rows")
    return PublicRows(rows, labels, logits)


def write_public_rows(path: Path, rows: PublicRows) -> None:
    """Write the rows in one step. Raises OperatorActionError BAD_ROWS for more than can be read."""
    _check_number(rows.labels)
    atomic_file.write(path, rows.to_bytes())


def _check_number(labels: Labels) -> None:
    if len(labels) > MAX_ROWS:
        raise _bad(f"they may be at most {MAX_ROWS:,}")


def _bad(why: str) -> OperatorActionError:
    return OperatorActionError(
        "BAD_ROWS",
        f"The operator's rows cannot be used: {why}.",
        "Make the file with `aegis-server model train`.",
    )
