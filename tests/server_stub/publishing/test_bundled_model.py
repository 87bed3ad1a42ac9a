"""The packaged start model can be rebuilt, is good enough to show, and is a demonstration."""

from pathlib import Path

import numpy as np
from safetensors import safe_open

import agent.detector
from agent.detector.model import from_safetensors
from server_stub.publishing import bundled_model

PACKAGED = Path(agent.detector.__file__).with_name("start_model.safetensors")


def test_the_packaged_model_is_the_one_that_training_makes():
    content, quality = bundled_model.make()
    np.testing.assert_allclose(
        from_safetensors(PACKAGED.read_bytes()).weights,
        from_safetensors(content).weights,
        atol=2e-3,
    )
    assert 0.95 <= quality.auc <= 0.98


def test_the_packaged_model_is_marked_as_a_demonstration():
    with safe_open(PACKAGED, "np") as stored:
        assert stored.metadata()["demonstration"] == "1"
