"""Rows for demonstration and simulation, dealt to devices, with a hold-out that no device has.

A table is an .npz file with X (n, 29) and y (n; 1 = malicious). The hold-out is the rows with
`split` = 1 if the table has that column, otherwise a fifth of its groups. Groups are the column
`group`, or else rows with equal features.
"""

import csv
import lzma
import zipfile
import zlib
from dataclasses import dataclass
from functools import cached_property
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
    return from_arrays(path.name, rows, labels, _held_out(arrays, rows, seed))


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


@dataclass(frozen=True, eq=False)
class SourcedRows:
    """The rows of a table with where each comes from."""

    origin: str
    rows: Rows
    """(n, 29)"""
    labels: Labels
    """(n,)"""
    held_out: NDArray[np.bool_]
    """(n,): no device and no base is trained on these."""
    sources: NDArray[np.int64]
    """(n,): index into `names`."""
    names: tuple[str, ...]

    def benign_sources(self) -> tuple[int, ...]:
        """Return the sources without malware: software that only the devices know."""
        return tuple(
            source
            for source in range(len(self.names))
            if not self.labels[self.sources == source].any()
        )

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """Which rows (n,) are software that the operator knows: those of the sources with malware.
        Where every source has malware, half of the distinct headers.
        """
        benign_only = np.isin(self.sources, self.benign_sources())
        return ~benign_only if benign_only.any() else half_of_groups(self.rows)


def sourced(path: Path, seed: int) -> SourcedRows:
    """Read a table with its columns `source` and `source_names`; one source where it has none.

    Raises UserActionError BAD_TABLE.
    """
    arrays = _load(path)
    rows, labels = rows_of(path)
    held_out = _held_out(arrays, rows, seed)
    from_arrays(path.name, rows, labels, held_out)  # both parts have both classes
    return SourcedRows(path.name, rows, labels, held_out, *_sources(arrays, len(labels)))


def public_rows(table: SourcedRows) -> NDArray[np.bool_]:
    """Return which rows (n,) the operator has: the training rows of the software it knows.

    Raises UserActionError BAD_TABLE where no malware or no benign row is left for the base.
    """
    public: NDArray[np.bool_] = table.known & ~table.held_out
    if len(np.unique(table.labels[public])) < 2:
        raise UserActionError(
            "BAD_TABLE",
            "The table cannot be used: a base needs benign and malicious rows of one source.",
            "Give an .npz file with X (n, 29), y (n) and source (n).",
        )
    return public


def judged_rows(path: Path) -> SourcedRows:
    """Read a table of which all rows judge a model.

    Raises UserActionError BAD_TABLE, for a table of one class too.
    """
    rows, labels = rows_of(path)
    if len(np.unique(labels)) < 2:
        raise _bad("rows that judge a model must be benign and malicious ones")
    everything = np.ones(len(labels), bool)
    return SourcedRows(path.name, rows, labels, everything, *_sources(_load(path), len(labels)))


def _sources(
    arrays: dict[str, NDArray[Any]], count: int
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the number (n,) of each row's source, and the sources' names."""
    if "source" not in arrays:
        return np.zeros(count, np.int64), ("all",)
    column = _column(arrays, "source", count)
    distinct, numbers = np.unique(column, return_inverse=True)
    titles = arrays.get("source_names")
    names = tuple(
        str(titles[int(one)])
        if titles is not None and one.dtype.kind in "iu" and 0 <= int(one) < len(titles)
        else str(one)
        for one in distinct
    )
    return numbers.reshape(-1), names


def packages(path: Path, rows: Rows) -> NDArray[np.int64]:
    """Return a number for the package (n,) of each row, -1 where the list does not name it.

    The list is a CSV file (it may be compressed with xz) with the column `package` and one column
    for each feature. Raises UserActionError BAD_TABLE.
    """
    try:
        content = path.read_bytes()
        plain = lzma.decompress(content) if path.suffix == ".xz" else content
        listed = [
            (line["package"], tuple(int(float(line[name])) for name in FEATURE_NAMES))
            for line in csv.DictReader(plain.decode().splitlines())
        ]
    except (OSError, ValueError, KeyError, TypeError, EOFError, lzma.LZMAError) as error:
        raise _bad("the list of packages needs the columns package and the 29 features") from error
    names = sorted({name for name, _ in listed})
    number = {features: names.index(name) for name, features in listed}
    return np.array([number.get(tuple(row), -1) for row in rows.tolist()], np.int64)


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


def half_of_groups(rows: Rows) -> NDArray[np.bool_]:
    """Mark half of the distinct headers (n,), the same half every time."""
    numbers = _equal_rows(rows)
    order = np.random.default_rng(0).permutation(int(numbers.max()) + 1)
    chosen: NDArray[np.bool_] = order[numbers] % 2 == 0
    return chosen


def _held_out(arrays: dict[str, NDArray[Any]], rows: Rows, seed: int) -> NDArray[np.bool_]:
    """Mark the rows (n,) of the hold-out."""
    if "split" in arrays:
        marked: NDArray[np.bool_] = _column(arrays, "split", len(rows)) == 1
        return marked
    groups = _column(arrays, "group", len(rows)) if "group" in arrays else _equal_rows(rows)
    return held_out_groups(groups, seed)


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
            names = ("X", "y", "split", "group", "source", "source_names")
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
