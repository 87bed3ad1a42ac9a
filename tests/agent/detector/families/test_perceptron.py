"""The network computes what its layers say."""

import numpy as np
import pytest

from agent.detector.families.perceptron import HIDDEN, from_tensors
from agent.detector.transform import OUTPUTS


def test_layers_are_applied_in_order(network):
    inputs = np.random.default_rng(2).random((5, OUTPUTS))
    hidden = network.hidden(inputs)
    assert hidden.shape == (5, HIDDEN)
    assert (hidden >= 0).all()
    first = np.maximum(inputs[0] @ network.weights[0] + network.biases[0], 0)
    second = np.maximum(first @ network.weights[1] + network.biases[1], 0)
    assert hidden[0] == pytest.approx(second)
    assert network.logits(hidden)[0] == pytest.approx(
        float(second @ network.weights[2][:, 0] + network.biases[2][0])
    )


def test_a_network_survives_its_file(network):
    again = from_tensors(network.to_tensors())
    inputs = np.random.default_rng(2).random((5, OUTPUTS))
    assert (again.hidden(inputs) == network.hidden(inputs)).all()
