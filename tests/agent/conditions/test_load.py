"""Load by other programs, memory, disk and temperature from the kernel's counters."""

from types import SimpleNamespace

import psutil
import pytest

from agent.conditions import load


class Times(tuple):
    """Processor seconds as psutil gives them: a tuple that names some of its parts."""

    idle, iowait, guest, guest_nice = 0.0, 0.0, 0.0, 0.0

    def __new__(cls, busy, **named):
        made = super().__new__(cls, (busy, *named.values()))
        vars(made).update(named)
        return made


@pytest.fixture
def machine(monkeypatch):
    """Two cores whose counters the test moves."""
    state = SimpleNamespace(now=100.0, times=Times(50.0, idle=10.0), ours=5.0)
    monkeypatch.setattr(load.time, "monotonic", lambda: state.now)
    monkeypatch.setattr(psutil, "cpu_times", lambda: state.times)
    monkeypatch.setattr(load.os, "cpu_count", lambda: 2)
    state.others = load.OthersLoad(lambda: state.ours)
    return state


def later(machine, seconds, busy, ours=0.0, **named):
    machine.now += seconds
    machine.ours += ours
    before = machine.times
    names = {name: getattr(before, name) + more for name, more in named.items()}
    machine.times = Times(before[0] + busy, **{"idle": before.idle, **names})
    return machine.others.read()


def test_the_first_poll_knows_nothing(machine):
    reading = machine.others.read()
    assert (reading.value, reading.source) == (None, "needs two polls")


@pytest.mark.parametrize(
    ("busy", "ours", "percent"), [(0, 0, 0), (10, 0, 50), (20, 0, 100), (10, 10, 0), (15, 5, 50)]
)
def test_the_load_is_a_share_of_the_whole_computer_without_our_own(machine, busy, ours, percent):
    machine.others.read()
    assert later(machine, 10, busy, ours).value == pytest.approx(percent)


@pytest.mark.parametrize(("busy", "ours", "percent"), [(0, 5, 0.0), (90, 0, 100.0)])
def test_counters_that_contradict_each_other_stay_in_bounds(machine, busy, ours, percent):
    machine.others.read()
    assert later(machine, 10, busy, ours).value == percent


def test_waiting_for_a_disk_and_guest_time_are_no_load(machine):
    machine.others.read()
    reading = later(machine, 10, 0, idle=5.0, iowait=8.0, guest=3.0, guest_nice=2.0)
    assert reading.value == pytest.approx(0)


def test_two_polls_within_a_second_count_as_one(machine):
    machine.others.read()
    assert later(machine, 0.5, 1).value is None
    assert later(machine, 9.5, 9).value == pytest.approx(50)


def sensors(**chips):
    return {
        name: [SimpleNamespace(current=value) for value in values] for name, values in chips.items()
    }


@pytest.mark.parametrize(
    ("chips", "value", "source"),
    [
        (sensors(coretemp=[40.0, 61.5, 0.0]), 61.5, "coretemp"),
        (sensors(acpitz=[70.0], k10temp=[50.0]), 50.0, "k10temp"),
        (sensors(coretemp=[200.0], acpitz=[45.0]), 45.0, "acpitz"),
        (sensors(nvme=[60.0]), None, "not available: the processor has no sensor"),
        ({}, None, "not available: the processor has no sensor"),
    ],
    ids=["hottest", "best driver", "absurd value", "no processor's", "none"],
)
def test_the_temperature_is_the_hottest_value_of_the_best_sensor(monkeypatch, chips, value, source):
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: chips, raising=False)
    reading = load.read_temperature()
    assert (reading.value, reading.source) == (value, source)


def test_a_system_without_sensors_says_so(monkeypatch):
    monkeypatch.delattr(psutil, "sensors_temperatures", raising=False)
    assert load.read_temperature().source == "not available on this system"


def test_memory_and_disk_are_in_mebibytes(monkeypatch, tmp_path):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=3 * 2**30))
    monkeypatch.setattr(load.shutil, "disk_usage", lambda _: SimpleNamespace(free=5 * 2**20))
    assert (load.read_memory().value, load.read_memory().unit) == (3072, "MiB")
    assert (load.read_disk(tmp_path).value, load.read_disk(tmp_path).unit) == (5, "MiB")
