"""Which job gets which limits, and what suspending reaches: training, and nothing that a person
waits for.
"""

import pytest

from agent.protocol.jobs import Job
from agent.supervisor.supervision import Supervision
from agent.supervisor.tree import TreeUsage
from agent.supervisor.watchdog import Caps, Limit
from tests.fakes.process_tree import FakeTree
from tests.fakes.timeouts import until

MIB = 2**20


class Watched:
    """A supervision of fake trees, and what it reported."""

    def __init__(self):
        self.trees, self.governors, self.events, self.limits = {}, [], [], []
        self.supervision = Supervision(Caps(None, 1024 * MIB), self.events.append, tree=self._tree)

    def _tree(self, pid):
        self.trees[pid] = FakeTree(pid)
        return self.trees[pid]

    def watch(self, pid, job):
        """The tree and the governor of a new worker."""
        governor = self.supervision.watch(pid, job, 1024, self.limits.append)
        self.governors.append(governor)
        return self.trees[pid], governor


@pytest.fixture
def watched():
    watched = Watched()
    yield watched
    for governor in watched.governors:
        governor.close()


@pytest.mark.parametrize("job", Job)
def test_only_what_nobody_waits_for_has_a_processor_limit(watched, job):
    watched.supervision.set_caps(Caps(25, 100 * MIB))
    caps = watched.supervision.caps_of(job, 512)
    expected = {Job.TRAIN: (25, 100 * MIB), Job.COLLECT: (25, 512 * MIB)}.get(
        job, (None, 512 * MIB)
    )
    assert (caps.cpu_percent, caps.memory_bytes) == expected


@pytest.mark.parametrize("job", Job)
def test_every_worker_gets_the_lowest_priority(watched, job):
    tree, _ = watched.watch(1, job)
    assert tree.calls[0] == "lower_priority"


def test_suspending_reaches_only_what_nobody_waits_for(watched):
    watched.supervision.suspend()
    for pid, job in enumerate(Job):
        tree, governor = watched.watch(pid, job)
        assert governor.is_suspended is tree.is_stopped is (job in (Job.TRAIN, Job.COLLECT))


def test_a_running_training_is_suspended_at_once_and_resumes(watched):
    tree, governor = watched.watch(1, Job.TRAIN)
    watched.supervision.suspend()
    assert tree.is_stopped
    assert watched.supervision.is_suspended
    watched.supervision.resume()
    until(lambda: not tree.is_stopped, what="the next slice")
    assert (governor.is_suspended, watched.supervision.is_suspended) == (False, False)


def test_suspending_reaches_a_child_that_was_not_listed_yet(watched):
    tree, _ = watched.watch(1, Job.TRAIN)
    tree.has_unlisted_child = True
    watched.supervision.suspend()
    assert tree.child_is_stopped


def test_a_new_limit_reaches_a_running_training_once(watched):
    watched.watch(1, Job.TRAIN)
    watched.watch(2, Job.SCAN)
    for _ in range(2):
        watched.supervision.set_caps(Caps(40, 1024 * MIB))
    assert watched.limits == [40]
    assert [governor.share for governor in watched.governors] == [0.4, 1.0]
    assert watched.supervision.caps == Caps(40, 1024 * MIB)


def test_a_limit_that_ends_a_worker_is_reported_and_remembered(watched, caplog):
    tree, _ = watched.watch(1, Job.TRAIN)
    tree.usage = TreeUsage(2048 * MIB, 0)
    until(lambda: watched.events, what="the event")
    (event,) = watched.events
    assert event.limit is Limit.MEMORY
    assert watched.supervision.last_stop == event
    assert "worker.stopped limit=memory value=2048 cap=1024 unit=MiB" in caplog.text


def test_measurements_are_those_of_a_running_training(watched):
    assert watched.supervision.measured() is None
    watched.watch(1, Job.SCAN)
    assert watched.supervision.measured() is None
    _, governor = watched.watch(2, Job.TRAIN)
    assert watched.supervision.measured() is not None
    governor.close()
    assert watched.supervision.measured() is None


def test_processor_time_counts_running_workers_and_each_ended_one_once(watched):
    (first, governor), (second, _) = watched.watch(1, Job.TRAIN), watched.watch(2, Job.SCAN)
    first.cpu_s, second.cpu_s = 3.0, 0.5
    supervision = watched.supervision
    assert supervision.cpu_time_s() == 3.5
    first.cpu_s = 4.0
    governor.close()
    first.cpu_s = 99.0  # another process has the pid now
    assert [supervision.cpu_time_s(), supervision.cpu_time_s()] == [4.5, 4.5]
    second.cpu_s = 1.0
    assert supervision.cpu_time_s() == 5.0
