"""The worker is made once, under the limits of the moment, and what a limit ended is known."""

import time

import pytest

from agent.paths import Home
from agent.supervisor.watchdog import Action, Caps, Limit, StopEvent
from agent.supervisor.worker_host import TrainingLimits, WorkerHost
from tests.fakes.clock import FakeClock


class Supervision:
    """Stands in for the governor's side: notes the caps, and can say that a limit was reached."""

    def __init__(self, caps, ended):
        self.caps, self.ended = [caps], ended

    def set_caps(self, caps):
        self.caps.append(caps)

    def measured(self):
        return "measured"

    def cpu_time_s(self):
        return 100.0


@pytest.fixture
def made(monkeypatch):
    made = []

    class Noted(Supervision):
        def __init__(self, caps, ended):
            super().__init__(caps, ended)
            made.append(self)

    monkeypatch.setattr("agent.supervisor.supervision.Supervision", Noted)
    return made


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "home")
    home.prepare()
    return home


def test_a_worker_that_stands_in_is_not_supervised(home, made):
    worker = object()
    host = WorkerHost(
        home, FakeClock(), lambda: TrainingLimits(25, 100), lambda *_: None, override=worker
    )
    assert host.worker() is worker
    host.enforce()
    assert (made, host.measured(), host.last_stop) == ([], None, None)
    assert host.cpu_time_s() <= time.process_time()


def test_the_limits_are_those_of_the_moment(home, made):
    limits = [TrainingLimits(25, 100)]
    host = WorkerHost(home, FakeClock(), lambda: limits[-1], lambda *_: None)
    host.enforce()
    assert made == []
    worker = host.worker()
    assert host.worker() is worker
    limits.append(TrainingLimits(50, 200))
    host.enforce()
    assert made[0].caps == [Caps(25, 100 << 20), Caps(50, 200 << 20)]
    assert host.limits() == TrainingLimits(50, 200)
    assert host.measured() == "measured"
    assert host.cpu_time_s() >= 100.0


def test_the_last_stop_is_kept_with_its_time(home, made):
    host = WorkerHost(home, FakeClock(7), lambda: TrainingLimits(25, 100), lambda *_: None)
    host.worker()
    event = StopEvent(Limit.MEMORY, 300.0, 200.0, "MiB", 5.0, Action.KILLED)
    made[0].ended(event)
    assert host.last_stop.at == 7
    assert host.last_stop.text == str(event)
    assert (host.last_stop.limit, host.last_stop.action) == ("memory", Action.KILLED.value)
