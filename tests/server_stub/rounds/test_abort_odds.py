"""The odds that a group ends without a sum are those of the binomial distribution."""

import random
from dataclasses import replace

import pytest

from agent.protocol import codec
from server_stub.rounds.abort_odds import DROP_PERCENT, abort_probability, odds
from tests.fakes.secagg import plan


@pytest.mark.parametrize(("drop", "expected"), [(0.1, 8e-4), (0.2, 9e-2)])
def test_the_odds_of_a_small_group_with_twelve_colluders(drop, expected):
    assert abort_probability(32, 23, drop) == pytest.approx(expected, rel=0.06)


def test_the_odds_are_what_happens():
    draw, drop, tries = random.Random(3), 0.2, 20_000
    kept = [sum(draw.random() >= drop for _ in range(32)) for _ in range(tries)]
    happened = sum(one < 23 for one in kept) / tries
    assert abort_probability(32, 23, drop) == pytest.approx(happened, abs=0.01)


def test_a_larger_group_bears_more_drop_out():
    config = replace(plan(100, min_group=32, min_sum=21, gamma_milli=200))
    small, large = odds(config, 32), odds(config, 100)
    assert (small.groups, small.size, large.groups, large.size) == (1, 32, 1, 100)
    assert small.needed == codec.min_survivors(32, config) == 27
    assert large.needed == 61
    for one, other in zip(small.aborts[:3], large.aborts[:3], strict=True):
        assert other < one
    assert len(small.aborts) == len(DROP_PERCENT)


def test_what_makes_no_group_or_leaves_devices_out_is_said():
    config = plan(40, min_group=32, min_sum=20)
    assert (odds(config, 31).groups, odds(config, 31).left_out) == (0, 31)
    assert (odds(config, 50).groups, odds(config, 50).left_out) == (1, 10)
