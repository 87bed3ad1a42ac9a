"""Rows for demonstration and simulation, dealt to devices, with a hold-out that no device has.

A table is an .npz file with X (n, 29) and y (n; 1 = malicious). The hold-out is the rows with
`split` = 1 if the table has that column, otherwise a fifth of its groups. Groups are the column
`group`, or else rows with equal features.
"""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.detector.schema import FEATURE_NAMES, FEATURE_RANGES
from agent.detector.transform import transform
from agent.errors import UserActionError

MAX_FILE_BYTES = 512 * 2**20
MAX_ROWS = 1_000_000
HOLDOUT_SHARE = 0.2
Rows = NDArray[np.uint64]
Labels = NDArray[np.int64]
Inputs = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Table:
    """Training rows and hold-out rows; features (n, 29), labels 0 benign and 1 malicious."""

    origin: str
    train: Rows
    train_labels: Labels
    holdout: Rows
    holdout_labels: Labels

    @property
    def holdout_inputs(self) -> Inputs:
        """Transformed hold-out rows (n, 115)."""
        return transform(self.holdout)


@dataclass(frozen=True, eq=False)
class Share:
    """The rows of one device."""

    rows: Rows
    labels: Labels


def from_arrays(origin: str, rows: Rows, labels: Labels, held_out: NDArray[np.bool_]) -> Table:
    """Split rows into training and hold-out.

    Raises UserActionError BAD_TABLE when one of the two lacks a class.
    """
    for part in (held_out, ~held_out):
        if len(np.unique(labels[part])) < 2:
            raise _bad("training rows and hold-out must each have benign and malicious rows")
    return Table(origin, rows[~held_out], labels[~held_out], rows[held_out], labels[held_out])


def from_file(path: Path, seed: int) -> Table:
    """Read a table. Raises UserActionError BAD_TABLE."""
    arrays = _load(path)
    try:
        rows, labels = _checked(arrays["X"], arrays["y"])
    except KeyError as error:
        raise _bad("it must contain the arrays X and y") from error
    if "split" in arrays:
        return from_arrays(path.name, rows, labels, _column(arrays, "split", len(labels)) == 1)
    groups = _column(arrays, "group", len(labels)) if "group" in arrays else _equal_rows(rows)
    return from_arrays(path.name, rows, labels, held_out_groups(groups, seed))


def rows_of(path: Path) -> tuple[Rows, Labels]:
    """All rows of a table with their labels; a single class is accepted.

    Raises UserActionError BAD_TABLE.
    """
    arrays = _load(path)
    if "X" not in arrays or "y" not in arrays:
        raise _bad("it must contain the arrays X and y")
    rows, labels = _checked(arrays["X"], arrays["y"])
    if not len(labels):
        raise _bad("it has no rows")
    return rows, labels


def held_out_groups(groups: NDArray[Any], seed: int) -> NDArray[np.bool_]:
    """Mark about a fifth of the groups, each as a whole; returns a flag for each row."""
    names, number = np.unique(groups, return_inverse=True)
    chosen: NDArray[np.bool_] = np.random.default_rng(seed).random(len(names)) < HOLDOUT_SHARE
    return chosen[number.reshape(-1)]


def deal(table: Table, devices: int, rows_each: int, seed: int) -> tuple[Share, ...]:
    """Deal training rows at random, at most `rows_each` to a device.

    Raises UserActionError TOO_FEW_ROWS.
    """
    order = np.random.default_rng(seed).permutation(len(table.train_labels))
    # The same number for each, so that all devices fit into one array.
    each = min(rows_each, len(order) // devices)
    if each < 2:
        raise UserActionError(
            "TOO_FEW_ROWS",
            f"{len(order)} rows are too few for {devices} devices.",
            "Ask for fewer devices.",
        )
    pieces = order[: each * devices].reshape(devices, each)
    return tuple(Share(table.train[piece], table.train_labels[piece]) for piece in pieces)


def _load(path: Path) -> dict[str, NDArray[Any]]:
    try:
        if not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
            raise _bad(f"it is not a file of at most {MAX_FILE_BYTES >> 20} MiB")
        with zipfile.ZipFile(path) as archive:
            # Before anything is unpacked: a small file may hold terabytes of zeros.
            if any(
                member.file_size > MAX_ROWS * len(FEATURE_NAMES) * 8 + 4096
                for member in archive.infolist()
            ):
                raise _bad(f"it may have at most {MAX_ROWS:,} rows")
        # A pickle in somebody else's file could run code.
        with np.load(path, allow_pickle=False) as arrays:
            names = ("X", "y", "split", "group")
            return {name: arrays[name] for name in names if name in arrays}
    except (
        OSError,
        ValueError,
        EOFError,
        NotImplementedError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise _bad("it is not an .npz file with plain arrays") from error


def _checked(features: NDArray[Any], labels: NDArray[Any]) -> tuple[Rows, Labels]:
    if (
        features.ndim != 2
        or features.shape[1] != len(FEATURE_NAMES)
        or labels.shape != features.shape[:1]
    ):
        raise _bad(f"X must be (n, {len(FEATURE_NAMES)}) and y (n)")
    if (
        features.dtype.kind not in "iuf"
        or labels.dtype.kind not in "iufb"
        or not np.isin(labels, (0, 1)).all()
    ):
        raise _bad("X must be numbers, and y zeros and ones")
    # Bounds are checked before the conversion: a negative number would wrap around to a large one.
    highest = np.array([high for _, high in FEATURE_RANGES.values()], np.uint64)
    fits = (features >= 0) & (features < 2.0**64)
    rows = np.where(fits, features, 0).astype(np.uint64)
    kept = fits.all(axis=1) & (rows <= highest).all(axis=1)
    return rows[kept], np.where(kept, labels, -1)[kept].astype(np.int64)


def _column(arrays: dict[str, NDArray[Any]], name: str, length: int) -> NDArray[Any]:
    if arrays[name].shape != (length,):
        raise _bad(f"{name} must have one value for each row, and every row must fit a file header")
    return arrays[name]


def _equal_rows(rows: Rows) -> NDArray[Any]:
    """A number for each distinct row, ignoring CheckSum: copies of a file must not be on both
    sides.
    """
    without = np.delete(rows, FEATURE_NAMES.index("CheckSum"), axis=1)
    return np.unique(without, axis=0, return_inverse=True)[1].reshape(-1)


def _bad(why: str) -> UserActionError:
    return UserActionError(
        "BAD_TABLE",
        f"The table cannot be used: {why}.",
        "Give an .npz file with X (n, 29) and y (n).",
    )
