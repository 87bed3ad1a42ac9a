"""Windows are announced for enough devices, and planned so that devices accept them."""

import random

import pytest

from agent.privacy.policy import DeviceLimits, check_config
from agent.protocol import codec
from agent.protocol.draw import group_count
from server_stub.config.settings import default_task, min_group_settings
from server_stub.rounds.join_window import ReadyPool, invite, is_enough, plan_groups, poll_s
from server_stub.rounds.lifecycle import RoundPlan, group_config, joining, next_identity

PRODUCT = RoundPlan()


def config_for(expected, plan=PRODUCT):
    planned = plan_groups(expected, plan)
    identity = next_identity(
        default_task(), plan, round_id=1, model_version=1, model_digest="ab" * 32, now=1000
    )
    return planned, group_config(
        default_task(), plan, identity, g_max=planned.g_max, min_sum=planned.min_sum
    )


@pytest.mark.parametrize("expected", [32, 33, 40, 64, 80, 99, 100, 101, 150, 199, 250, 1000, 5000])
def test_devices_with_the_products_limits_accept_the_plan_for_any_number_of_devices(expected):
    planned, config = config_for(expected)
    check_config(config, default_task(), DeviceLimits())
    assert planned.capacity >= expected
    assert (config.g_max, config.min_sum) == (planned.g_max, planned.min_sum)
    # Every group that may form bears that a fifth drops out.
    for size in range(config.min_group, config.g_max + 1):
        assert codec.min_survivors(size, config) <= size * 4 // 5
    assert config.min_group <= expected
    assert 0 < group_count(expected, config) * config.min_group <= expected
    if expected <= PRODUCT.g_max:
        # A fifth may drop out, and a group of half of it is never opened.
        assert codec.min_survivors(expected, config) <= expected * 4 // 5
        assert codec.min_survivors(expected, config) > expected // 2
    else:
        typical = expected // -(-expected // PRODUCT.g_max)
        assert config.min_sum <= typical
        # Enough honest devices share the noise, however the groups are drawn.
        assert config.min_sum - config.colluders >= 8


@pytest.mark.parametrize(
    ("ready", "least", "expected"),
    [(100, 32, 20), (40, 32, 8), (39, 32, 7), (36, 32, 4), (32, 32, 0), (20, 32, 0), (4, 3, 0)],
)
def test_a_fifth_sits_out_but_never_so_many_that_too_few_are_left(ready, least, expected):
    devices = {f"urn:{number}" for number in range(ready)}
    invited = invite(devices, least, random.Random(1).randrange)
    assert len(invited.sitting_out) == expected
    assert invited.joining | invited.sitting_out == devices
    assert not invited.joining & invited.sitting_out
    assert len(invited.joining) >= min(ready, least)


def test_every_device_sits_out_equally_often():
    devices = [f"urn:{number}" for number in range(10)]
    draw, counts = random.Random(7).randrange, dict.fromkeys(devices, 0)
    for _ in range(5000):
        for device in invite(devices, 3, draw).sitting_out:
            counts[device] += 1
    assert all(900 < count < 1100 for count in counts.values())


@pytest.mark.parametrize("size", [2, 3, 5, 10, 31, 32, 50])
def test_group_sizes_below_the_products_are_marked_as_a_test_floor(size):
    plan = RoundPlan(**min_group_settings(size))
    assert plan.is_test_floor == (size < 32)
    _, config = config_for(size, plan)
    assert config.min_group == size
    assert 2 <= config.min_sum <= size


def test_a_window_needs_enough_ready_devices_and_they_poll_before_it_opens():
    assert [is_enough(ready, PRODUCT) for ready in (0, 31, 32)] == [False, False, True]
    assert [is_enough(ready, RoundPlan(ready_target=50)) for ready in (49, 50)] == [False, True]
    for draw in (0.0, 0.5, 1.0):
        usual = poll_s(PRODUCT, 7200, is_ready=False, opens=0, now=0, draw=draw)
        assert 5400 <= usual <= 7200
        hurried = poll_s(PRODUCT, 7200, is_ready=True, opens=0, now=0, draw=draw)
        assert 1 <= hurried <= PRODUCT.lead_s // 2
    assert poll_s(PRODUCT, 7200, is_ready=True, opens=500, now=100, draw=0.5) == 400
    assert poll_s(PRODUCT, 7200, is_ready=True, opens=500, now=900, draw=0.5) == 1
    assert poll_s(RoundPlan(lead_s=0), 7200, is_ready=True, opens=0, now=0, draw=0.0) == 1


def test_a_device_that_stops_polling_is_no_longer_counted():
    pool = ReadyPool()
    pool.add("one", 0, 100)
    pool.add("two", 50, 100)
    pool.restore(["three"], 400)
    assert pool.devices(230) == {"one", "two", "three"}
    assert pool.devices(231) == {"two", "three"}
    pool.remove("two")
    assert pool.devices(400) == {"three"}
    assert pool.devices(401) == frozenset()


def test_the_window_opens_after_the_lead_time_and_ends_before_the_phases():
    _, config = config_for(40)
    assert joining(config) == (1000 + PRODUCT.lead_s, 1000 + PRODUCT.lead_s + PRODUCT.join_s)
