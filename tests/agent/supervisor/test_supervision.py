"""What supervision does to which job: limits and holds are training's; what a person waits for goes
on. With a tree that only counts.
"""

import asyncio
import contextlib
import sys
import threading
from pathlib import Path

import psutil
import pytest

from agent.errors import UserActionError
from agent.protocol.jobs import Job
from agent.supervisor.supervision import Supervision
from agent.supervisor.tree import TreeUsage, tree_of
from agent.supervisor.watchdog import Caps
from agent.supervisor.worker import ProcessWorker


class CountedTree:
    """A tree that uses what a test says."""

    def __init__(self, pid):
        self.used, self.signals, self.alive = 0.0, [], True
        self.suspended = threading.Event()
        self.unknown_child, self.suspended_child = False, threading.Event()

    def lower_priority(self):
        pass

    def cpu_time_s(self):
        return self.used

    def discover(self):
        self.unknown_child = False

    def poll(self):
        return TreeUsage(0, 0) if self.alive else None

    def suspend(self):
        self.suspended.set()
        if not self.unknown_child:
            self.suspended_child.set()

    def resume(self):
        self.suspended.clear()

    def terminate(self):
        pass

    def kill(self):
        self.alive = False


@pytest.fixture
def watched():
    trees, governors = {}, []

    def tree(pid):
        trees[pid] = CountedTree(pid)
        return trees[pid]

    supervision = Supervision(Caps(None, 2**30), tree=tree)

    def watch(pid, job):
        governors.append(supervision.watch(pid, job, 1024))
        return trees[pid], governors[-1]

    yield supervision, watch
    for governor in governors:
        governor.close()


def test_a_hold_reaches_training_only(watched):
    supervision, watch = watched
    supervision.hold()
    for pid, job in enumerate(Job):
        tree, governor = watch(pid, job)
        assert governor.is_held is tree.suspended.is_set() is (job is Job.TRAIN)


def test_a_hold_reaches_a_child_that_nobody_has_listed(watched):
    supervision, watch = watched
    tree, _ = watch(1, Job.TRAIN)
    tree.unknown_child = True
    supervision.hold()
    assert tree.suspended_child.is_set()


def test_what_workers_use_is_known_while_they_run_and_counted_once_when_they_end(watched):
    supervision, watch = watched
    (first, governor), (second, _) = watch(1, Job.TRAIN), watch(2, Job.SCAN)
    first.used, second.used = 3.0, 0.5
    assert supervision.cpu_time_s() == 3.5
    first.used = 4.0
    governor.close()
    first.used = 99.0  # its number is another process's now
    assert [supervision.cpu_time_s(), supervision.cpu_time_s()] == [4.5, 4.5]
    second.used = 1.0
    assert supervision.cpu_time_s() == 5.0


SILENT = (sys.executable, "-c", "import sys; sys.stdin.buffer.read()")


async def test_a_pass_that_is_stopped_takes_no_scan_with_it(tmp_path):
    started = []

    def tree(pid):
        started.append(psutil.Process(pid))
        return tree_of(pid)

    supervision = Supervision(Caps(None, 2**30), tree=tree)
    worker = ProcessWorker(tmp_path, supervision, command=SILENT)
    scan = asyncio.create_task(worker.scan(["/nothing"], b""))
    train = asyncio.create_task(worker.train(_Task(), b"", b"", b"", "x", b""))
    async with asyncio.timeout(60):
        while len(started) < 2:
            await asyncio.sleep(0.005)
    await worker.stop((Job.TRAIN, Job.SEAL))
    with pytest.raises(UserActionError) as raised:
        await train
    assert raised.value.code == "WORKER_STOPPED"
    assert [process.is_running() for process in started].count(True) == 1
    assert not scan.done()
    await worker.stop()
    with pytest.raises(UserActionError):
        await scan


class _Task:
    def to_json(self):
        return {}


@contextlib.asynccontextmanager
async def _taken():
    raise UserActionError("TRAINING_ELSEWHERE", "Another AegisAI is training on this computer.", "")
    yield


def test_the_preview_neither_waits_for_a_training_nor_is_held_with_it(tmp_path):
    """The example in the consent dialog, while this computer's one training runs or is held
    back.
    """
    from tests.fakes.device import Device

    device = Device(tmp_path, worker=lambda scratch: ProcessWorker(scratch, slot=_taken))
    device.worker.hold()
    answer = asyncio.run(asyncio.wait_for(device.call("preview"), 60))
    assert answer["update"]["bytes"] == Path(answer["update"]["path"]).stat().st_size
    assert list((device.home / "scratch").iterdir()) == []
    device.close()
