"""A simulated group counts who answered, and opens nothing below its minimum."""

import numpy as np
import pytest

from agent.protocol import codec
from server_stub.simulation.groups import PHASES, open_directly
from tests.fakes.secagg import plan


def words(config, count):
    draw = np.random.default_rng(count)
    return [draw.integers(0, 1 << config.bits, 8, dtype=np.uint32) for _ in range(count)]


def test_the_sum_wraps_at_the_modulus_of_the_round():
    config = plan(3, bits=16)
    opened = open_directly(config, [np.full(8, 0xFFFF, np.uint32)] * 3, [""] * 3)
    assert opened.words.tolist() == [3 * 0xFFFF % 2**16] * 8
    assert (opened.charged, opened.survivors) == ((0, 1, 2), (0, 1, 2))


@pytest.mark.parametrize("phase", PHASES)
def test_one_device_too_few_in_any_phase_gives_no_sum(phase):
    config = plan(5, min_sum=4)
    needed = (
        codec.min_survivors(5, config)
        if phase in ("shares", "masked")
        else codec.threshold(5, config)
    )
    for staying, is_open in ((needed, True), (needed - 1, False)):
        silent = [""] * staying + [phase] * (5 - staying)
        opened = open_directly(config, words(config, 5), silent)
        assert (opened.words is not None) == is_open
        assert opened.answered[phase] == staying


def test_a_device_that_falls_silent_after_its_input_is_in_the_sum_and_charged():
    config = plan(7, min_sum=3)
    sent = words(config, 7)
    opened = open_directly(config, sent, ["shares", "masked", "consistency", "", "", "", ""])
    assert opened.charged == opened.survivors == (2, 3, 4, 5, 6)
    expected = sum(sent[device].astype(np.int64) for device in range(2, 7)) % 2**config.bits
    assert opened.words.tolist() == expected.tolist()
