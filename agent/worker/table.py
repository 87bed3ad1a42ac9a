"""The job `import`: training rows from somebody else's table."""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.detector.schema import FEATURE_NAMES, FEATURE_RANGES
from agent.errors import PeerError
from agent.protocol.jobs import MAX_TABLE_ROWS, Event, LabelledRow, RefusedInput, Table
from agent.worker.files import RefusedFileError, opened
from agent.worker.npz import NpzError, TooLargeError, read_arrays

MAX_TABLE_FILE_BYTES = 256 * 1024 * 1024
MAX_MEMBER_BYTES = MAX_TABLE_ROWS * len(FEATURE_NAMES) * 8 + 4096
MAX_REFUSED_ROWS = 20
"""Refused rows of a table that are reported one by one; the rest is counted."""


def import_table(path: str) -> Iterator[Event]:
    """Yield the rows of an .npz file with arrays X (n, 29) and y (n), then the refused rows.

    A row with a value that no header field can hold is refused. Raises PeerError BAD_TABLE for
    another form or more than MAX_TABLE_ROWS rows.
    """
    features, labels = _arrays(path)
    rows, fits = _whole_numbers(features)
    fits &= np.isin(labels, (0, 1))
    accepted = zip(rows[fits].tolist(), labels[fits].tolist(), strict=True)
    yield Table(tuple(LabelledRow(tuple(row), int(label)) for row, label in accepted))
    refused = np.flatnonzero(~fits)
    for number in refused[:MAX_REFUSED_ROWS]:
        yield RefusedInput(
            path,
            "BAD_ROW",
            f"Row {number} holds a value that no header field can hold; it was left out.",
        )
    if len(refused) > MAX_REFUSED_ROWS:
        yield RefusedInput(
            path,
            "BAD_ROW",
            f"{len(refused) - MAX_REFUSED_ROWS} more rows were left out for the same reason.",
        )


def _whole_numbers(features: NDArray[Any]) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Return the features as integers, and which rows are within their fields' ranges."""
    fits: NDArray[np.bool_] = np.asarray(features >= 0)
    if features.dtype.kind == "f":
        fits &= (features < 2.0**64) & (np.floor(features) == features)
    rows = np.where(fits, features, 0).astype(np.uint64)
    fits &= rows <= np.array([high for _, high in FEATURE_RANGES.values()], np.uint64)
    return rows, np.asarray(fits.all(axis=1))


def _arrays(path: str) -> tuple[NDArray[Any], NDArray[Any]]:
    try:
        with opened(path) as (descriptor, size):
            if size > MAX_TABLE_FILE_BYTES:
                raise _bad(path, f"it is larger than {MAX_TABLE_FILE_BYTES >> 20} MiB")
            with os.fdopen(os.dup(descriptor), "rb") as file:
                features, labels = read_arrays(file, ("X", "y"), MAX_MEMBER_BYTES)
    except RefusedFileError as error:
        raise _bad(path, error.message) from error
    except TooLargeError as error:
        raise _bad(path, f"it must hold at most {MAX_TABLE_ROWS} rows") from error
    except NpzError as error:
        raise _bad(path, "it is not an .npz file with plain arrays X and y") from error
    if (
        features.ndim != 2
        or features.shape[1] != len(FEATURE_NAMES)
        or labels.shape != features.shape[:1]
    ):
        raise _bad(path, f"X must be (n, {len(FEATURE_NAMES)}) and y (n)")
    if (
        features.dtype.kind not in "iuf"
        or labels.dtype.kind not in "iufb"
        or len(labels) > MAX_TABLE_ROWS
    ):
        raise _bad(path, f"it must hold at most {MAX_TABLE_ROWS} rows of numbers")
    return features, labels


def _bad(path: str, why: str) -> PeerError:
    return PeerError(
        "BAD_TABLE",
        f"The table cannot be imported: {why}.",
        "Nothing was stored. Check the file.",
        os.path.basename(path),  # noqa: PTH119
    )
