"""Power and charge from trees as real machines show them below /sys/class/power_supply."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.conditions.power import ATTRIBUTES, Supply, charge, on_mains, read_power

AC_ON, AC_OFF = {"type": "Mains", "online": "1"}, {"type": "Mains", "online": "0"}


def battery(status="Discharging", **more):
    return {
        "type": "Battery",
        "scope": "System",
        "present": "1",
        "status": status,
        "energy_now": "30",
        "energy_full": "60",
        **more,
    }


MOUSE = {
    "type": "Battery",
    "scope": "Device",
    "status": "Discharging",
    "capacity": "5",
    "online": "1",
    "model_name": "Wireless Mouse",
}

SHAPES = {
    "desktop without any supply": ({}, True, None),
    "desktop with a wireless mouse": ({"hidpp_battery_0": MOUSE}, True, None),
    "laptop on mains": ({"AC": AC_ON, "BAT0": battery("Charging")}, True, 50),
    "laptop on battery": ({"AC": AC_OFF, "BAT0": battery()}, False, 50),
    "laptop on battery with a mouse": (
        {"AC": AC_OFF, "BAT0": battery(), "hidpp_battery_0": MOUSE},
        False,
        50,
    ),
    "two batteries, one full": (
        {
            "AC": AC_OFF,
            "BAT0": battery("Full", energy_now="20", energy_full="20"),
            "BAT1": battery(energy_now="10", energy_full="60"),
        },
        False,
        37.5,
    ),
    "thinkpad that charges to 80 %": (
        {"AC": AC_ON, "BAT0": battery("Not charging", energy_now="48")},
        True,
        80,
    ),
    "USB-C only, plugged": (
        {"ucsi-source-psy-1": {"type": "USB", "online": "1"}, "BAT0": battery("Charging")},
        True,
        50,
    ),
    "USB-C, two ports, one plugged": (
        {
            "ucsi-source-psy-1": {"type": "USB", "online": "0"},
            "ucsi-source-psy-2": {"type": "USB_PD", "online": "1"},
            "BAT0": battery("Charging"),
        },
        True,
        50,
    ),
    "dock whose plug says nothing": ({"BAT0": battery("Charging")}, True, 50),
    "weak charger: plugged but discharging": ({"AC": AC_ON, "BAT0": battery()}, True, 50),
    "charge in µAh": (
        {
            "AC": AC_OFF,
            "BAT0": {
                "type": "Battery",
                "status": "Discharging",
                "charge_now": "3000",
                "charge_full": "4000",
            },
        },
        False,
        75,
    ),
    "only a percentage": (
        {"BAT0": {"type": "Battery", "status": "Discharging", "capacity": "42"}},
        False,
        42,
    ),
    "firmware that says more than full": (
        {"AC": AC_ON, "BAT0": battery("Full", energy_now="66")},
        True,
        100,
    ),
    "empty bay": (
        {"AC": AC_OFF, "BAT0": battery(), "BAT1": {"type": "Battery", "present": "0"}},
        False,
        50,
    ),
    "desktop with a UPS on mains": ({"UPS": {"type": "UPS", "status": "Full"}}, True, None),
    "desktop with a UPS that discharges": (
        {"AC": AC_ON, "UPS": {"type": "UPS", "status": "Discharging"}},
        False,
        None,
    ),
    "battery that says nothing": ({"BAT0": {"type": "Battery"}}, None, None),
    "charging while every plug reads 0": (
        {"AC": AC_OFF, "ucsi-1": {"type": "USB", "online": "0"}, "BAT0": battery("Charging")},
        True,
        50,
    ),
    "full while every plug reads 0": ({"AC": AC_OFF, "BAT0": battery("Full")}, True, 50),
    "held at a threshold while every plug reads 0": (
        {"AC": AC_OFF, "BAT0": battery("Not charging")},
        True,
        50,
    ),
    "one charges and one discharges": (
        {"AC": AC_OFF, "BAT0": battery("Charging"), "BAT1": battery()},
        False,
        50,
    ),
    "wireless charger": (
        {"wireless": {"type": "Wireless", "online": "1"}, "BAT0": battery("Unknown")},
        True,
        50,
    ),
    "weak wireless charger": (
        {"wireless": {"type": "Wireless", "online": "1"}, "BAT0": battery()},
        True,
        50,
    ),
    "a phone that the laptop feeds": (
        {"AC": AC_OFF, "ucsi-2": {"type": "USB", "online": "1"}, "BAT0": battery()},
        False,
        50,
    ),
    "a USB-C charger too weak for the laptop": (
        {"ucsi-2": {"type": "USB", "online": "1"}, "BAT0": battery()},
        False,
        50,
    ),
    "a battery without a status on a USB-C charger": (
        {"ucsi-2": {"type": "USB", "online": "1"}, "BAT0": battery("Unknown")},
        True,
        50,
    ),
    "a dead battery": (
        {"AC": AC_OFF, "BAT0": battery("Unknown", energy_now="0", energy_full="0", capacity="0")},
        False,
        0,
    ),
    "a dead battery beside a good one": (
        {
            "AC": AC_OFF,
            "BAT0": battery("Unknown", energy_now="0", energy_full="0", capacity="99"),
            "BAT1": battery(energy_now="15", energy_full="50"),
        },
        False,
        30,
    ),
    "a mouse whose driver names no scope": (
        {"hid-0003:046d-battery": {**MOUSE, "scope": ""}},
        True,
        None,
    ),
    "a battery that is the system's although its name is a mouse's": (
        {"hid-odd": {**battery(), "scope": "System"}},
        False,
        50,
    ),
    "a battery of unknown name without a scope": (
        {"macsmc-battery": {**battery(), "scope": ""}},
        False,
        50,
    ),
    "a battery's meter is no battery": (
        {"bms": {"type": "BMS", "status": "Discharging"}, "battery": battery("Full")},
        True,
        50,
    ),
    "a UPS that discharges behind a laptop on mains": (
        {"AC": AC_ON, "BAT0": battery("Full"), "ups": {"type": "UPS", "status": "Discharging"}},
        False,
        50,
    ),
    "tablet's pen and keyboard": (
        {"AC": AC_OFF, "BAT0": battery(), "wacom": MOUSE, "kbd": MOUSE},
        False,
        50,
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_real_machines_tree(tmp_path, shape):
    supplies, on_mains, percent = SHAPES[shape]
    write_tree(tmp_path, supplies)
    power, charge = read_power(tmp_path)
    assert (power.value, charge.value) == (on_mains, percent)
    assert power.source


def write_tree(root, supplies):
    for name, attributes in supplies.items():
        (root / name).mkdir()
        for attribute, text in attributes.items():
            (root / name / attribute).write_text(f"{text}\n")


CASES = Path(__file__).parents[4] / "shared" / "cases" / "power" / "mk.sh"
RIGHT = {
    "01": True, "02": True, "03": True, "05": True, "06": True, "07": False, "08": True,
    "09": False, "10": True, "11": True, "12": True, "13": False,
}  # fmt: skip
"""05: the name is that of an input device. 13: the battery drains, whatever the port says."""


@pytest.mark.skipif(not CASES.exists(), reason="the cases of ../shared are not here")
def test_the_cases_from_the_field(tmp_path):
    subprocess.run(["sh", str(CASES)], cwd=tmp_path, check=True, timeout=60)
    trees = sorted((tmp_path / "trees").iterdir())
    assert {tree.name[:2]: read_power(tree)[0].value for tree in trees} == RIGHT


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                name: st.sampled_from(
                    ["", "0", "1", "nan", "-1", "battery", "mains", "usb", "ups", "device",
                     "system", "charging", "discharging", "full", "unknown", "99999999999999999999"]
                )
                for name in ATTRIBUTES
            },
        ),
        max_size=4,
    )
)  # fmt: skip
def test_p11_any_tree_has_an_answer(found):
    supplies = [Supply(f"s{number}", attributes) for number, attributes in enumerate(found)]
    power, percent = on_mains(supplies), charge(supplies)
    assert power.value in (True, False, None)
    assert power.source
    assert percent.value is None or 0 <= percent.value <= 100
    own = [one for one in supplies if one.is_battery]
    if any(one.text("status") == "discharging" for one in own) and not any(
        one.is_charger and one.is_online for one in supplies
    ):
        assert power.value is False


@pytest.mark.skipif(sys.platform != "linux", reason="psutil reads these files on Linux only")
def test_psutil_takes_a_mouse_for_the_battery_of_a_laptop(tmp_path, monkeypatch):
    """Why this reader exists (docs/adr/0007). Once psutil reads `scope`, it can replace ours."""
    write_tree(tmp_path, {"hidpp_battery_0": MOUSE})
    monkeypatch.setattr(psutil._pslinux, "POWER_SUPPLY_PATH", str(tmp_path))
    fooled = psutil.sensors_battery()
    assert (fooled.percent, fooled.power_plugged) == (5, False)
    power, charge = read_power(tmp_path)
    assert (power.value, charge.value) == (True, None)


def test_no_such_class_is_unknown_and_says_why(tmp_path):
    power, charge = read_power(tmp_path / "none")
    assert (power.value, charge.value) == (None, None)
    assert "No such file" in power.source


def test_numbers_that_are_none_are_no_charge(tmp_path):
    (tmp_path / "BAT0").mkdir()
    for name, text in {
        "type": "Battery",
        "status": "Discharging",
        "energy_now": "nan?",
        "energy_full": "",
        "capacity": "-3",
    }.items():
        (tmp_path / "BAT0" / name).write_text(text)
    power, charge = read_power(tmp_path)
    assert (power.value, charge.value) == (False, None)
