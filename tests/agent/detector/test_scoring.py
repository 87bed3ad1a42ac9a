"""A model of any family scores headers by its formula, and only with its own base."""

from dataclasses import replace

import numpy as np
import pytest

from agent.detector.families.base_head import BaseHead
from agent.detector.families.family import Head
from agent.detector.scoring import read_model
from agent.errors import PeerError
from agent.protocol.jobs import ModelFiles
from tests.fakes.small_base import small_base

BASE = small_base()
HEAD = Head(np.zeros(BASE.d), np.linspace(-1, 1, BASE.d), BASE.digest)
FILES = ModelFiles(BaseHead().write_head(HEAD), BASE.content, "base+head/1", 500)


def test_a_row_is_scored_with_the_averaged_head():
    rows = np.zeros((3, 29), np.uint64)
    detector = read_model(FILES)
    prepared = detector.prepare(rows)
    logits = prepared.offsets + prepared.features @ HEAD.scored
    assert detector.probability(rows) == pytest.approx(1 / (1 + np.exp(-logits)))
    assert detector.probability(rows[:0]).shape == (0,)


def test_p8_a_head_of_another_base_scores_nothing():
    other = replace(FILES, head=BaseHead().write_head(replace(HEAD, base_digest="5a" * 32)))
    with pytest.raises(PeerError) as raised:
        read_model(other)
    assert raised.value.code == "MODEL_WRONG_SHAPE"
