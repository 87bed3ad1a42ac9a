"""The gate refuses what honest devices cannot have made, and almost nothing else."""

import numpy as np
import pytest

from server_stub.aggregation.groups import GroupMeans
from server_stub.validation.gate import Bounds, bounds_of, false_refusals, judge
from tests.fakes.group_means import attacked, honest_groups
from tests.fakes.secagg import plan

BOUNDS = Bounds(clip=1.0, freedom=200)
ALONG = np.eye(200)[0]


def reasons(groups, direction=ALONG):
    return [one.reason for one in judge(groups, direction, BOUNDS)]


@pytest.mark.parametrize("signal", [-0.25, 0.0, 1.0])
def test_honest_groups_pass_as_often_as_stated_even_at_the_edge_of_what_is_honest(signal):
    groups = honest_groups(1, groups=5000, signal=signal)
    refused = sum(map(bool, reasons(groups)))
    assert refused <= 1.3 * false_refusals(judge(groups, ALONG, BOUNDS))
    assert sum(map(bool, reasons(groups, None))) <= 12


def test_an_attacker_that_fills_the_range_is_refused_by_its_energy():
    groups = attacked(honest_groups(2), 1, np.random.default_rng(1).normal(0, 0.2, 200))
    assert reasons(groups, None) == ["ENERGY", *[""] * 19]


@pytest.mark.parametrize("shift", [-3.0, 2.5])
def test_a_push_along_or_against_the_root_update_is_refused_by_its_projection(shift):
    along = np.eye(2000)[0]
    groups = attacked(honest_groups(3, d=2000, sd=0.3), 1, shift * along)
    results = judge(groups, along, Bounds(1.0, 2000))
    assert [one.reason for one in results] == ["PROJECTION", *[""] * 19]


def test_a_push_across_the_root_update_passes_the_projection():
    groups = attacked(honest_groups(4), 1, 0.4 * np.eye(200)[1])
    assert set(reasons(groups)) == {""}


def test_the_record_keeps_statistics_and_limits():
    (result,) = judge(honest_groups(5, groups=1), ALONG, BOUNDS)
    stored = result.to_json()
    assert set(stored) == {
        "energy",
        "energy_limit",
        "freedom",
        "projection",
        "projection_low",
        "projection_high",
        "reason",
    }
    assert stored["energy"] < stored["energy_limit"]
    assert stored["projection_low"] < stored["projection"] < stored["projection_high"]
    (without,) = judge(honest_groups(5, groups=1), None, BOUNDS)
    assert without.projection is None


def test_where_few_coordinates_are_sent_honest_groups_still_pass():
    # Eight of 32 coordinates, each for four: noise sits in them alone.
    draw, sent = np.random.default_rng(6), draw_of(8)
    means = np.zeros((5000, 32))
    means[:, sent] = draw.normal(0, 0.2, (5000, 8))
    means[:, sent[0]] += 4 * 0.9
    groups = GroupMeans(means, np.full(5000, 32), np.full(5000, 0.1))
    results = judge(groups, None, Bounds(1.0, 8, 4.0))
    assert sum(bool(one.reason) for one in results) <= 12


def draw_of(count):
    return np.random.default_rng(7).permutation(32)[:count]


def test_bounds_come_from_the_round():
    config = plan(40, min_sum=20, gamma_milli=200, d=50)
    assert bounds_of(config) == Bounds(float(config.clip), 50, 1.0)
