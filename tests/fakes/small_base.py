"""A base that was made by hand: one tree, 15 features and a bias."""

import numpy as np

from agent.detector.families.base_head import Base
from agent.detector.families.trees import MAX_LEAVES, Trees


def small_base():
    feature, threshold = np.zeros((1, MAX_LEAVES - 1), np.int16), np.zeros((1, MAX_LEAVES - 1))
    mask = np.full((1, MAX_LEAVES - 1), 0xFFFFFFFF, np.uint32)
    value = np.zeros((1, MAX_LEAVES))
    feature[0, 0], threshold[0, 0], mask[0, 0] = 23, 0.5, 0xFFFFFFFE
    value[0, :2] = -1, 2
    return Base(Trees(feature, threshold, mask, value, 0.25), None, laplacian=15, gaussian=0)
