"""Gradient-boosted trees as arrays, evaluated with numpy, exactly as scikit-learn does.

A tree is a list of tests x[feature] <= threshold. Each test has a mask with a bit for each leaf: a
test that fails takes the leaves on its left away. What remains after all tests of a tree is a set
of leaves, and its lowest bit is the leaf that the row reaches ("QuickScorer", Lucchese et al.
2015).
There are no pointers to follow, so no file can make the evaluation loop or read elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.detector.families.family import Floats, unusable
from agent.detector.families.tensors import ANY, Form
from agent.detector.transform import OUTPUTS

MAX_LEAVES = 32
"""A mask is one 32-bit word."""
MAX_TREES = 1_000
_CHUNK_ROWS = 128
"""The comparisons of so many rows fit the processor's cache."""
_ALL = np.uint32(0xFFFFFFFF)
FORMS = {
    "trees.feature": Form(np.int16, (ANY, MAX_LEAVES - 1), MAX_TREES),
    "trees.threshold": Form(np.float64, (ANY, MAX_LEAVES - 1), MAX_TREES),
    "trees.mask": Form(np.uint32, (ANY, MAX_LEAVES - 1), MAX_TREES),
    "trees.value": Form(np.float64, (ANY, MAX_LEAVES), MAX_TREES),
    "trees.baseline": Form(np.float64, (1,)),
}


@dataclass(frozen=True, eq=False)
class Trees:
    """T trees of at most 32 leaves. Unused tests have the mask "all leaves stay"."""

    feature: NDArray[np.int16]
    """(T, 31): which of the 115 transformed inputs a test looks at."""
    threshold: Floats
    """(T, 31)"""
    mask: NDArray[np.uint32]
    """(T, 31): the leaves that stay when the test fails."""
    value: Floats
    """(T, 32): what each leaf adds to the logit."""
    baseline: float

    def logits(self, inputs: Floats) -> Floats:
        """Return the logit (n,) of transformed rows (n, 115)."""
        result = np.empty(len(inputs))
        columns = np.ascontiguousarray(inputs.T)
        for start in range(0, len(inputs), _CHUNK_ROWS):
            piece = columns[:, start : start + _CHUNK_ROWS]
            result[start : start + _CHUNK_ROWS] = self._piece(piece)
        return result + self.baseline

    def _piece(self, columns: Floats) -> Floats:
        trees, tests = self.feature.shape
        left = np.full((trees, columns.shape[1]), _ALL)
        # Test by test rather than all at once: the working set stays in the cache.
        for test in range(tests):
            fails = columns[self.feature[:, test]] > self.threshold[:, test, None]
            left &= np.where(fails, self.mask[:, test, None], _ALL)
        lowest = left & (~left + np.uint32(1))
        leaf = np.log2(lowest.astype(np.float64)).astype(np.intp)
        summed: Floats = np.take_along_axis(self.value, leaf, axis=1).sum(axis=0)
        return summed

    def to_tensors(self) -> dict[str, NDArray[np.generic]]:
        return {
            "trees.feature": self.feature,
            "trees.threshold": self.threshold,
            "trees.mask": self.mask,
            "trees.value": self.value,
            "trees.baseline": np.array([self.baseline]),
        }


def from_tensors(tensors: Mapping[str, NDArray[np.generic]]) -> Trees:
    """Check trees that were read from a file. Raises PeerError MODEL_WRONG_SHAPE."""
    feature = tensors["trees.feature"].astype(np.int16)
    mask = tensors["trees.mask"].astype(np.uint32)
    counts = {tensors[name].shape[0] for name in FORMS if name != "trees.baseline"}
    if (
        len(counts) != 1
        or feature.min() < 0
        or feature.max() >= OUTPUTS
        # If a leaf is left when every test fails, one is left whichever tests fail.
        or not np.bitwise_and.reduce(mask, axis=1).all()
    ):
        raise unusable("MODEL_WRONG_SHAPE", "holds trees that cannot be evaluated")
    return Trees(
        feature,
        tensors["trees.threshold"].astype(np.float64),
        mask,
        tensors["trees.value"].astype(np.float64),
        float(tensors["trees.baseline"].astype(np.float64)[0]),
    )
