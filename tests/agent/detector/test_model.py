"""A model is 116 finite numbers in a file that holds nothing else, and its figures are those of the
textbook.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import load, save
from sklearn.metrics import roc_auc_score, roc_curve

from agent.detector.model import (
    DIMENSION,
    LogisticModel,
    from_safetensors,
    metrics,
    probability,
    to_safetensors,
    zeros,
)
from agent.errors import AegisError

FINITE = st.floats(-1e300, 1e300)
WEIGHTS = arrays(np.float64, DIMENSION, elements=FINITE)


def refusal(content):
    with pytest.raises(AegisError) as raised:
        from_safetensors(content)
    assert raised.value.remedy.startswith("The model in use stays.")
    return raised.value.code


@given(WEIGHTS, st.booleans())
def test_a_file_gives_the_weights_back(weights, demonstration):
    content = to_safetensors(LogisticModel(weights), demonstration=demonstration)
    assert np.array_equal(from_safetensors(content).weights, weights)
    assert (b'"demonstration":"1"' in content) is demonstration


def test_narrow_weights_are_widened():
    assert (
        from_safetensors(save({"weights": np.full(DIMENSION, 0.5, np.float32)})).weights.dtype
        == np.float64
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 8,
        save({"other": np.zeros(DIMENSION)}),
        save({"weights": np.zeros(DIMENSION - 1)}),
        save({"weights": np.zeros((DIMENSION, 1))}),
        save({"weights": np.zeros(DIMENSION, np.int64)}),
        save({"weights": np.zeros(DIMENSION, np.float16)}),
        save({"weights": np.zeros(DIMENSION), "more": np.zeros(1)}),
        to_safetensors(zeros())[:-1],
        to_safetensors(zeros()) + b"\0",
    ],
)
def test_p8_another_content_is_refused(content):
    assert refusal(content) == "MODEL_WRONG_SHAPE"


@given(st.binary(max_size=200))
def test_p11_bytes_that_are_no_model_are_refused(content):
    assert refusal(content) == "MODEL_WRONG_SHAPE"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_p8_what_is_no_number_is_refused_in_a_file_and_in_a_program(value):
    weights = np.zeros(DIMENSION)
    weights[7] = value
    assert refusal(save({"weights": weights})) == "MODEL_NOT_FINITE"
    with pytest.raises(ValueError, match="finite"):
        LogisticModel(weights)


def test_the_schema_is_written_into_the_file():
    content = to_safetensors(zeros())
    assert list(load(content)) == ["weights"]
    assert b'"schema":"pehdr29/fixed-v1"' in content


def test_known_probabilities():
    weights = np.zeros(DIMENSION)
    weights[3], weights[-1] = 2.0, -1.0
    inputs = np.zeros((3, DIMENSION - 1))
    inputs[1, 3], inputs[2, 3] = 0.5, 1.0
    assert probability(LogisticModel(weights), inputs) == pytest.approx(
        [1 / (1 + math.e), 0.5, math.e / (1 + math.e)]
    )
    assert (probability(zeros(), inputs) == 0.5).all()


@given(WEIGHTS, arrays(np.float64, (2, DIMENSION - 1), elements=st.floats(0, 1)))
def test_p11_any_weights_give_a_probability_without_a_warning(weights, inputs):
    chances = probability(LogisticModel(weights), inputs)
    assert ((chances >= 0) & (chances <= 1)).all()


def test_known_metrics():
    found = metrics(np.array([1, 1, 1, 0, 0]), np.array([0.9, 0.5, 0.4, 0.6, 0.1]))
    assert found.accuracy == pytest.approx(3 / 5)
    assert found.auc == pytest.approx(4 / 6)
    assert (found.tpr, found.fpr) == (pytest.approx(2 / 3), 0.5)
    assert found.tpr_at_fpr_1 == pytest.approx(1 / 3)  # two benign rows: no false alarm is allowed


LABELLED = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 20)), min_size=2, max_size=60
).filter(lambda rows: {label for label, _ in rows} == {0, 1})


@given(LABELLED)
def test_auc_and_the_rate_at_one_percent_agree_with_scikit_learn(rows):
    labels, chances = (np.array(column) for column in zip(*rows, strict=True))
    found = metrics(labels, chances / 20)
    assert found.auc == pytest.approx(roc_auc_score(labels, chances))
    fpr, tpr, _ = roc_curve(labels, chances, drop_intermediate=False)
    assert found.tpr_at_fpr_1 == pytest.approx(max(tpr[fpr <= 0.01]))


@pytest.mark.parametrize(("labels", "unknown"), [([], True), ([1, 1], False), ([0], False)])
def test_a_figure_that_needs_a_missing_class_is_not_a_number(labels, unknown):
    found = metrics(np.array(labels, int), np.full(len(labels), 0.7))
    assert math.isnan(found.auc)
    assert math.isnan(found.tpr_at_fpr_1)
    assert math.isnan(found.accuracy) is unknown
