from itertools import pairwise

import numpy as np
import pytest

from agent.detector.families.base_head import Base
from agent.detector.families.perceptron import SIZES, Perceptron
from agent.detector.families.trees import MAX_LEAVES, Trees
from agent.detector.synthetic import generate


@pytest.fixture(scope="session")
def rows():
    """200 generated rows and their labels."""
    table = generate(np.random.default_rng(7), 200)
    return table.rows, table.labels


@pytest.fixture
def stump():
    """One tree: input 23 <= 0.5 is worth -1, above it 2."""
    feature, threshold = np.zeros((1, MAX_LEAVES - 1), np.int16), np.zeros((1, MAX_LEAVES - 1))
    mask = np.full((1, MAX_LEAVES - 1), 0xFFFFFFFF, np.uint32)
    value = np.zeros((1, MAX_LEAVES))
    feature[0, 0], threshold[0, 0], mask[0, 0] = 23, 0.5, 0xFFFFFFFE
    value[0, :2] = -1, 2
    return Trees(feature, threshold, mask, value, 0.25)


@pytest.fixture
def network():
    draw = np.random.default_rng(3)
    pairs = list(pairwise(SIZES))
    return Perceptron(
        tuple(draw.normal(size=pair) / 8 for pair in pairs),
        tuple(draw.normal(size=height) for _, height in pairs),
    )


@pytest.fixture
def base(stump, network):
    return Base(stump, network, laplacian=15, gaussian=16)
