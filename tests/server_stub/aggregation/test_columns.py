"""Blocks of sorted coordinates cover every coordinate once."""

import numpy as np

from server_stub.aggregation.columns import COLUMNS, sorted_columns


def test_every_coordinate_is_sorted_once():
    means = np.random.default_rng(1).normal(size=(5, 2 * COLUMNS + 3))
    found = np.concatenate([block.copy() for _, block in sorted_columns(means)])
    assert np.array_equal(found, np.sort(means, axis=0).T)
