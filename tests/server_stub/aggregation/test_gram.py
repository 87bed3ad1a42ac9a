"""Scalar products over blocks are those of the whole; lengths and distances follow from them."""

import numpy as np
import pytest

from server_stub.aggregation.gram import COLUMNS, distances_from, distances_sq, gram


def test_products_distances_and_lengths_are_those_of_the_vectors():
    draw = np.random.default_rng(1)
    means, weights = draw.normal(size=(6, COLUMNS + 5)), draw.random(6)
    products = gram(means)
    assert products == pytest.approx(means @ means.T)
    far = np.linalg.norm(means[:, None] - means[None], axis=2)
    assert distances_sq(products) == pytest.approx(far**2)
    assert distances_from(products, weights) == pytest.approx(
        np.linalg.norm(means - weights @ means, axis=1)
    )
