"""The arithmetic of a group arrives at what the protocol itself arrives at."""

import os
from itertools import product

import numpy as np
import pytest

from agent.privacy.codec import clip, decode_sum, encode_update, noise_sd
from agent.privacy.policy import DeviceLimits
from agent.privacy.zcdp import sent_words
from server_stub.simulation.groups import PHASES, open_directly
from server_stub.simulation.machines import Authority, open_with_machines
from tests.fakes.secagg import plan

LIMITS = DeviceLimits(min_group=2, min_sum=2, gamma_milli=0, max_rho_units=2**60)


@pytest.mark.parametrize("bits", [16, 20, 24, 32])
def test_p6_the_arithmetic_alone_gives_what_the_protocol_gives(bits):
    """Three devices, each silent from any phase or from none: all 125 ways, shared out over the
    word sizes.
    """
    config, authority, draw = plan(3, d=9, bits=bits), Authority(), np.random.default_rng(bits)
    ways = list(product(["", *PHASES], repeat=3))
    for silent in ways[[16, 20, 24, 32].index(bits) :: 4]:
        words = [draw.integers(0, 1 << bits, sent_words(config), dtype=np.uint32) for _ in range(3)]
        same(
            open_with_machines(authority, LIMITS, config, words, silent),
            open_directly(config, words, silent),
        )


@pytest.mark.parametrize("seed", range(6))
def test_p6_both_agree_in_larger_groups_with_noise_for_colluding_devices(seed):
    draw = np.random.default_rng(seed)
    size = int(draw.integers(6, 13))
    config = plan(size, min_sum=max(4, size // 2), gamma_milli=200)
    silent = draw.choice(["", "", "", "", *PHASES], size).tolist()
    words = [
        draw.integers(0, 1 << config.bits, sent_words(config), dtype=np.uint32) for _ in range(size)
    ]
    same(
        open_with_machines(Authority(), LIMITS, config, words, silent),
        open_directly(config, words, silent),
    )


@pytest.mark.parametrize("survivors", [6, 10])
def test_p7_a_sum_that_the_protocol_opened_carries_the_planned_noise(survivors):
    """At the minimum and at full survival, through codec, masks, shares and unmasking to the mean:
    within four standard errors.
    """
    config, draw = plan(10, d=2000, min_sum=6), np.random.default_rng(survivors)
    vectors = [clip(draw.normal(size=2000), 1.0) for _ in range(10)]
    words = [encode_update(vector, config, os.urandom(32)) for vector in vectors]
    outcome = open_with_machines(
        Authority(), LIMITS, config, words, ["masked"] * (10 - survivors) + [""] * survivors
    )
    assert len(outcome.survivors) == survivors
    error = decode_sum(outcome.words, config, survivors) - np.mean(
        [vectors[place] for place in outcome.survivors], axis=0
    )
    planned_variance = noise_sd(config, survivors) ** 2 * (1 + 0.25 / config.noise_var)
    assert abs(np.mean(error**2) / planned_variance - 1) < 4 * (2 / 2000) ** 0.5


def same(machines, direct):
    assert machines.charged == direct.charged
    assert machines.survivors == direct.survivors
    assert machines.answered == direct.answered
    assert (machines.words is None) == (direct.words is None)
    if direct.words is not None:
        assert machines.words.tolist() == direct.words.tolist()
        assert machines.bytes_up > 0
        assert machines.bytes_down > 0
