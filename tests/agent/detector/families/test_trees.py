"""Trees as arrays reach the leaf that following the tests reaches."""

import numpy as np
import pytest

from agent.detector.families.trees import MAX_LEAVES, Trees, from_tensors
from agent.detector.transform import OUTPUTS
from agent.errors import PeerError


def test_a_row_reaches_the_leaf_of_its_tests(stump):
    inputs = np.zeros((3, OUTPUTS))
    inputs[:, 23] = 0.5, np.nextafter(0.5, 1), 1
    assert stump.logits(inputs).tolist() == [-0.75, 2.25, 2.25]


def test_full_trees_agree_with_a_walk_from_the_root():
    draw = np.random.default_rng(1)
    inputs = draw.random((300, OUTPUTS))
    feature = draw.integers(0, OUTPUTS, (4, MAX_LEAVES - 1)).astype(np.int16)
    threshold = draw.random((4, MAX_LEAVES - 1))
    value = draw.normal(size=(4, MAX_LEAVES))
    mask = np.zeros((4, MAX_LEAVES - 1), np.uint32)
    # A balanced tree: test i splits leaves [first, end), as a heap.
    ranges = {0: (0, MAX_LEAVES)}
    for test in range(MAX_LEAVES - 1):
        first, end = ranges[test]
        middle = (first + end) // 2
        ranges[2 * test + 1], ranges[2 * test + 2] = (first, middle), (middle, end)
        mask[:, test] = 0xFFFFFFFF & ~(((1 << (middle - first)) - 1) << first)
    trees = Trees(feature, threshold, mask, value, 0.0)
    walked = np.zeros(len(inputs))
    for row, single in enumerate(inputs):
        for tree in range(4):
            place = 0
            while place < MAX_LEAVES - 1:
                right = single[feature[tree, place]] > threshold[tree, place]
                place = 2 * place + 1 + int(right)
            walked[row] += value[tree, place - (MAX_LEAVES - 1)]
    assert trees.logits(inputs) == pytest.approx(walked, abs=1e-12)
    assert len(trees.logits(inputs[:0])) == 0


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("trees.feature", np.full((1, MAX_LEAVES - 1), OUTPUTS, np.int16)),
        ("trees.feature", np.full((1, MAX_LEAVES - 1), -1, np.int16)),
        ("trees.mask", np.zeros((1, MAX_LEAVES - 1), np.uint32)),
        ("trees.value", np.zeros((2, MAX_LEAVES))),
    ],
)
def test_p11_trees_without_an_answer_are_refused(stump, name, change):
    with pytest.raises(PeerError) as raised:
        from_tensors({**stump.to_tensors(), name: change})
    assert raised.value.code == "MODEL_WRONG_SHAPE"
