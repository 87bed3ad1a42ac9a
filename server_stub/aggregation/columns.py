"""Sorts the groups' values coordinate by coordinate, a block at a time."""

from collections.abc import Iterator

import numpy as np

from server_stub.aggregation.groups import Matrix

COLUMNS = 1 << 11
"""Coordinates in a block: its copy stays in the processor's cache, and is reused."""


def sorted_columns(means: Matrix) -> Iterator[tuple[slice, Matrix]]:
    """Yield blocks of coordinates and their values in ascending order, shape (coordinates, groups).

    The array is reused for the next block.
    """
    groups, d = means.shape
    spare = np.empty((min(COLUMNS, d), groups), means.dtype)
    for start in range(0, d, COLUMNS):
        where = slice(start, min(start + COLUMNS, d))
        block = spare[: where.stop - start]
        # Transposed: a sort of contiguous values is vectorised, and a full sort of them is faster
        # than numpy's partition.
        np.copyto(block, means[:, where].T)
        block.sort(axis=1)
        yield where, block
