"""The cosines: the same everywhere, of norm 1, and what their products stand for."""

import numpy as np
import pytest

from agent.detector.fourier import SCALE, features
from agent.detector.transform import OUTPUTS


def rows(count, seed=1):
    return np.random.default_rng(seed).random((count, OUTPUTS))


def test_they_are_the_same_on_every_machine_and_for_every_count():
    made = features(rows(3), 8)
    assert made.shape == (3, 8)
    assert made.dtype == np.float32
    assert np.abs(features(rows(3), 32)[:, :8] * 2 - made).max() < 2e-5
    assert features(np.zeros((1, OUTPUTS)), 4)[0] == pytest.approx(KNOWN, abs=1e-6)


KNOWN = [0.080317, -0.20442, -0.611462, 0.446862]


def test_products_are_the_kernel():
    """Of rows that differ in a few inputs, as programs do; the error falls with the root of the
    count.
    """
    one = rows(40)
    other = one.copy()
    other[:, :20] = rows(40, 2)[:, :20]
    wanted = np.exp(-np.abs(one - other).sum(axis=1) / SCALE)
    reached = (features(one, 16_384) * features(other, 16_384)).sum(axis=1)
    assert np.abs(reached - wanted).max() < 5 / 16_384**0.5
    assert np.linalg.norm(features(one, 4095), axis=1) == pytest.approx(np.ones(40), abs=0.06)


def test_many_rows_in_pieces_are_the_same():
    many = rows(5000)
    assert features(many, 3)[4500] == pytest.approx(features(many[4500:4501], 3)[0], abs=1e-5)
