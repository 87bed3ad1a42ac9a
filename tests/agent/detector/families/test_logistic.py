"""`logistic/1` is today's model, written as a family."""

import numpy as np
import pytest

from agent.detector.families import linear
from agent.detector.families.family import Head
from agent.detector.families.logistic import Logistic
from agent.detector.model import DIMENSION, LogisticModel, probability
from agent.detector.transform import transform
from agent.errors import PeerError

FAMILY = Logistic()


def test_it_scores_as_the_model_does(rows):
    weights = np.random.default_rng(1).normal(size=DIMENSION)
    prepared = FAMILY.scorer(b"", 0.0).prepare(rows[0])
    assert linear.probability(linear.logits(prepared, weights)) == pytest.approx(
        probability(LogisticModel(weights), transform(rows[0])), abs=1e-5
    )


def test_a_head_is_a_model_file():
    head = FAMILY.read_head(
        FAMILY.write_head(Head(np.ones(DIMENSION), np.ones(DIMENSION), "")), DIMENSION
    )
    assert head.base_digest == ""
    assert (head.scored == 1).all()


def test_p11_a_base_is_refused():
    for call in (lambda: FAMILY.scorer(b"x", 0.0), lambda: FAMILY.read_head(b"", 3)):
        with pytest.raises(PeerError) as raised:
            call()
        assert raised.value.code == "MODEL_WRONG_SHAPE"
