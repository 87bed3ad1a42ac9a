"""Power and charge from trees as real machines show them below /sys/class/power_supply."""

import sys

import psutil
import pytest

from agent.conditions.power import read_power

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
