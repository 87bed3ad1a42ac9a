"""What the governor's thread does to a worker that uses what the test sets.

The real share of the processor is measured in test_hostile.
"""

import threading

import pytest

from agent.supervisor import governor
from agent.supervisor.governor import Governor
from agent.supervisor.tree import TreeUsage
from agent.supervisor.watchdog import Action, Caps, Limit
from tests.fakes.process_tree import FakeTree
from tests.fakes.timeouts import TIMEOUT_S, until

MIB = 2**20


class Governed:
    """A started governor of a fake tree, and the events that it reported."""

    def __init__(self, caps):
        self.tree, self.events, self.stopped = FakeTree(), [], threading.Event()
        self.governor = Governor(self.tree, caps, self._note)
        self.governor.start()

    def _note(self, event):
        self.events.append(event)
        self.stopped.set()

    def until_calls(self, condition):
        """Wait for the call after which `condition(calls)` is true."""
        with self.tree.changed:
            assert self.tree.changed.wait_for(lambda: condition(self.tree.calls), TIMEOUT_S)


@pytest.fixture
def govern(monkeypatch):
    """Starts a governor that polls fast, and closes it at the end."""
    monkeypatch.setattr(governor, "POLL_S", 0.02)
    monkeypatch.setattr(governor, "GRACE_S", 0.1)
    started = []

    def start(caps):
        started.append(Governed(caps))
        return started[-1]

    yield start
    for governed in started:
        governed.governor.close()


def test_p9_a_worker_that_spends_its_share_is_suspended_and_resumed_again_and_again(govern):
    governed = govern(Caps(25, 512 * MIB))
    governed.tree.spends_s = 0.05
    governed.until_calls(lambda calls: calls.count("resume") >= 3)
    signals = [call for call in governed.tree.calls if call in ("suspend", "resume")]
    assert signals[:4] == ["suspend", "resume", "suspend", "resume"]


def test_a_job_at_full_speed_is_never_suspended(govern):
    governed = govern(Caps(None, 512 * MIB))
    governed.tree.spends_s = 0.05
    governed.tree.is_alive = False  # ends the thread at its next poll
    until(lambda: not governed.governor.is_running, what="the end of the thread")
    assert "suspend" not in governed.tree.calls


def test_p9_suspending_takes_effect_before_the_call_returns(govern):
    governed = govern(Caps(100, 512 * MIB))
    governed.governor.suspend()
    assert governed.tree.is_stopped
    assert governed.governor.is_suspended
    resumed_before = governed.tree.calls.count("resume")
    governed.governor.resume()
    governed.until_calls(lambda calls: calls.count("resume") > resumed_before)
    assert not governed.governor.is_suspended


def test_a_child_that_was_not_listed_is_found_and_suspended_too(govern):
    governed = govern(Caps(None, 512 * MIB))
    governed.until_calls(lambda calls: "discover" in calls)
    governed.tree.has_unlisted_child = True
    governed.governor.suspend()
    assert governed.tree.child_is_stopped


@pytest.mark.parametrize(
    ("usage", "limit"),
    [(TreeUsage(200 * MIB, 0), Limit.MEMORY), (TreeUsage(0, 2**31), Limit.WRITTEN)],
)
def test_p9_a_limit_that_kills_is_one_event_and_a_kill(govern, usage, limit):
    governed = govern(Caps(50, 100 * MIB))
    governed.tree.usage = usage
    assert governed.stopped.wait(TIMEOUT_S)
    assert [(event.limit, event.action) for event in governed.events] == [(limit, Action.KILLED)]
    assert "kill" in governed.tree.calls
    assert "terminate" not in governed.tree.calls
    assert governed.governor.stopped == governed.events[0]


def test_p9_a_limit_that_gives_time_asks_first_and_kills_afterwards(govern):
    governed = govern(Caps(50, 100 * MIB, running_s=0.0))
    assert governed.stopped.wait(TIMEOUT_S)
    assert [event.limit for event in governed.events] == [Limit.RUNNING_TIME]
    assert governed.tree.calls.index("terminate") < governed.tree.calls.index("kill")


def test_limits_that_are_raised_in_time_end_nothing(govern):
    governed = govern(Caps(None, 100 * MIB))
    governed.governor.set_caps(Caps(None, 300 * MIB))
    governed.tree.usage = TreeUsage(200 * MIB, 0)
    until(lambda: governed.governor.measured().rss_bytes == 200 * MIB, what="the next poll")
    assert governed.events == []


def test_the_thread_ends_with_its_worker(govern):
    governed = govern(Caps(50, 512 * MIB))
    governed.tree.is_alive = False
    until(lambda: not governed.governor.is_running, what="the end of the thread")
    assert governed.events == []


def test_closing_keeps_the_last_processor_time_and_kills_what_is_left(govern):
    governed = govern(Caps(None, 512 * MIB))
    governed.tree.cpu_s = 3.5
    governed.governor.close()
    assert not governed.governor.is_running
    governed.tree.cpu_s = 99.0  # another process has the pid now
    assert governed.governor.cpu_time_s() == 3.5
    assert governed.tree.calls[-1] == "kill"
