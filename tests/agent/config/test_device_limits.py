"""Smaller groups only for a demo's home, only towards this machine, and never without saying so."""

import json

import pytest

from agent.config import device_limits
from agent.paths import Home
from agent.privacy.budget import FAST_SPENDING, PRODUCT_SPENDING
from agent.privacy.policy import DeviceLimits
from tests.fakes.device import Device

LOWER = DeviceLimits(min_group=3, min_sum=2, gamma_milli=100)
FAST = DeviceLimits(spending=FAST_SPENDING)


@pytest.fixture
def home(tmp_path):
    place = Home(tmp_path / "home")
    place.prepare()
    return place


def test_a_demos_home_may_carry_lower_bounds_towards_this_machine_only(home):
    device_limits.mark_demo(home, LOWER)
    assert device_limits.limits_for(home, "127.0.0.1") == LOWER
    assert device_limits.limits_for(home, "localhost") == LOWER
    for host in ("", "example.org", "10.0.0.1", "127.0.0.1.example.org"):
        assert device_limits.limits_for(home, host) == DeviceLimits()


def test_p4_only_a_demos_home_may_spend_its_whole_budget_in_a_day(home):
    device_limits.mark_demo(home, FAST)
    assert device_limits.limits_for(home, "127.0.0.1") == FAST
    assert device_limits.limits_for(home, "example.org").spending == PRODUCT_SPENDING


def test_a_home_without_a_mark_or_with_an_empty_one_has_the_products_bounds(home):
    assert device_limits.limits_for(home, "127.0.0.1") == DeviceLimits()
    home.demo_mark.touch()
    assert device_limits.limits_for(home, "127.0.0.1") == DeviceLimits()


GOOD = {"min_group": 3, "min_sum": 2, "gamma_milli": 0}


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{",
        "3",
        json.dumps({"min_group": 3}),
        json.dumps({**GOOD, "max_rho_units": 1}),
        json.dumps({**GOOD, "min_sum": True}),
        json.dumps({**GOOD, "min_sum": "2"}),
        json.dumps({**GOOD, "min_sum": 1}),
        json.dumps({**GOOD, "min_sum": 4}),
        json.dumps({**GOOD, "gamma_milli": -1}),
        json.dumps({**GOOD, "spends_fast": 1}),
        "x" * 5000,
        "\xff",
    ],
    ids=range(13),
)
def test_p3_a_mark_that_cannot_be_read_lowers_nothing(home, content):
    home.demo_mark.write_bytes(content.encode("latin-1"))
    assert device_limits.limits_for(home, "127.0.0.1") == DeviceLimits()


async def test_the_status_says_lower_bounds_in_words(tmp_path):
    device = Device(tmp_path, demo_limits=LOWER)
    await device.call("enroll", invitation=device.server.invitation())
    status = device.agent.status()
    assert status.group_floor == "test floor: groups of 3, sums of 2"
    assert any("test floor: groups of 3" in note for note in status.notes)
    device.close()


async def test_the_status_says_that_a_device_spends_fast(tmp_path):
    device = Device(tmp_path, demo_limits=FAST)
    await device.call("enroll", invitation=device.server.invitation())
    status = device.agent.status()
    assert status.group_floor == ""
    assert any("may spend its whole privacy budget in a day" in note for note in status.notes)
    device.close()


def test_a_status_with_the_products_bounds_says_nothing(tmp_path):
    device = Device(tmp_path)
    status = device.agent.status()
    assert (status.group_floor, status.notes) == ("", ())
    device.close()
