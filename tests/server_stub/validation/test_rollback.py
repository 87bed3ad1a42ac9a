"""A published model that fails the canary gives way to the newest earlier one that passes."""

import numpy as np
import pytest

from server_stub.validation.canary import CanaryRows
from server_stub.validation.rollback import PublishedRows, replacement

LABELS = np.repeat([0, 1], 300)
LOGITS = np.random.default_rng(1).normal(0, 1, 600) + np.where(LABELS == 1, 2.0, -2.0)


def published(*factors):
    return [
        PublishedRows(version, CanaryRows(LABELS, 1 / (1 + np.exp(-factor * LOGITS)), 0.5))
        for version, factor in enumerate(factors, 1)
    ]


@pytest.mark.parametrize(
    ("factors", "expected"),
    [
        ((), None),
        ((1.0,), None),
        ((0.5, 1.0), None),
        ((0.5, 1.0, -1.0), 2),
        ((0.5, 1.0, -1.0, -2.0), 2),
        ((1.0, -1.0, -2.0), 1),
    ],
)
def test_the_newest_earlier_model_that_passes_serves_again(factors, expected):
    assert replacement(published(*factors)) == expected
