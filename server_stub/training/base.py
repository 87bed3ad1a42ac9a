"""Trains the base of `base+head/1` from the operator's rows: boosted trees and, for large fleets, a
small neural network; and scores the same rows out of fold, for the replay.

scikit-learn trains; what it learned is copied into plain arrays, which score the same to 10⁻¹².
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.detector.families.base_head import Base, BaseHeadScorer
from agent.detector.families.family import Floats, Labels, Prepared, Rows
from agent.detector.families.perceptron import Perceptron
from agent.detector.families.trees import MAX_LEAVES, Trees
from agent.detector.schema import FEATURE_NAMES
from agent.detector.transform import transform
from server_stub.training.recipe import BaseRecipe

FOLDS = 5
NETWORK = {"hidden_layer_sizes": (64, 32), "early_stopping": True}
_EVERY_LEAF = 0xFFFFFFFF
Progress = Callable[[str], None]
Groups = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TrainedBase:
    base: Base
    out_of_fold: Floats
    """(n,): f₀ of each training row by a model that has not seen the row's group."""

    def replay_rows(self, rows: Rows, alpha: float) -> Prepared:
        """Prepare the training rows for the replay."""
        features = BaseHeadScorer(self.base, alpha).prepare(rows).features
        return Prepared(alpha * self.out_of_fold, features)


def train_base(
    rows: Rows,
    labels: Labels,
    recipe: BaseRecipe,
    seed: int,
    progress: Progress = lambda _: None,
) -> TrainedBase:
    """Train a base on raw rows (n, 29), labels 1 = malicious.

    Deterministic for a seed and a number of threads. `progress` gets each step in words.
    """
    inputs = transform(rows)
    progress("base")
    base = _fit(inputs, labels, recipe, seed)
    out_of_fold = np.zeros(len(labels))
    for number, inside in enumerate(folds(header_groups(rows), seed), 1):
        progress(f"fold {number} of {FOLDS}")
        fitted = _fit(inputs[~inside], labels[~inside], recipe, seed)
        out_of_fold[inside] = fitted.logits(inputs[inside])
    return TrainedBase(base, out_of_fold)


def header_groups(rows: Rows) -> Groups:
    """Return a number for each distinct header (n,), CheckSum apart: copies of a file must not be
    on both sides of a split.
    """
    without = np.delete(rows, FEATURE_NAMES.index("CheckSum"), axis=1)
    return np.unique(without, axis=0, return_inverse=True)[1].reshape(-1)


def folds(groups: Groups, seed: int) -> Iterator[NDArray[np.bool_]]:
    """Yield the rows (n,) of each fold; a group is in one fold only."""
    names, number = np.unique(groups, return_inverse=True)
    fold = np.random.default_rng(seed).permutation(len(names)) % FOLDS
    for wanted in range(FOLDS):
        yield fold[number.reshape(-1)] == wanted


def _fit(inputs: Floats, labels: Labels, recipe: BaseRecipe, seed: int) -> Base:
    return Base(
        trees=_trees(inputs, labels, recipe, seed),
        network=_network(inputs, labels, seed) if recipe.has_network else None,
        laplacian=recipe.laplacian,
        gaussian=recipe.gaussian,
    )


def _trees(inputs: Floats, labels: Labels, recipe: BaseRecipe, seed: int) -> Trees:
    from sklearn.ensemble import HistGradientBoostingClassifier  # takes a second to load

    fitted = HistGradientBoostingClassifier(
        max_iter=recipe.trees,
        learning_rate=recipe.tree_rate,
        max_leaf_nodes=recipe.leaves,
        l2_regularization=recipe.l2,
        early_stopping=False,
        random_state=seed,
    ).fit(inputs, labels)
    return as_arrays(fitted)


def _network(inputs: Floats, labels: Labels, seed: int) -> Perceptron:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    with warnings.catch_warnings():
        # It is stopped at 200 passes; the operator sees what it is worth in the report.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = MLPClassifier(random_state=seed, **NETWORK).fit(inputs, labels)
    return Perceptron(tuple(fitted.coefs_), tuple(fitted.intercepts_))


def as_arrays(fitted: Any) -> Trees:
    """Copy the trees of a fitted HistGradientBoostingClassifier."""
    grown = [predictors[0].nodes for predictors in fitted._predictors]
    shape = (len(grown), MAX_LEAVES - 1)
    feature, threshold = np.zeros(shape, np.int16), np.zeros(shape)
    mask = np.full(shape, _EVERY_LEAF, np.uint32)
    value = np.zeros((len(grown), MAX_LEAVES))
    for place, nodes in enumerate(grown):
        tests, leaves = _flattened(nodes)
        value[place, : len(leaves)] = leaves
        for number, (node, first, end) in enumerate(tests):
            feature[place, number] = nodes[node]["feature_idx"]
            threshold[place, number] = nodes[node]["num_threshold"]
            mask[place, number] = _EVERY_LEAF & ~(((1 << (end - first)) - 1) << first)
    baseline = float(np.ravel(fitted._baseline_prediction)[0])
    return Trees(feature, threshold, mask, value, baseline)


def _flattened(nodes: NDArray[Any]) -> tuple[list[tuple[int, int, int]], list[float]]:
    """Return a tree's tests, each with the range of the leaves on its left, and its leaves' values,
    from left to right.
    """
    tests: list[tuple[int, int, int]] = []
    leaves: list[float] = []

    def walk(node: int) -> None:
        if nodes[node]["is_leaf"]:
            leaves.append(float(nodes[node]["value"]))
            return
        first = len(leaves)
        walk(int(nodes[node]["left"]))
        tests.append((node, first, len(leaves)))
        walk(int(nodes[node]["right"]))

    walk(0)
    return tests, leaves
