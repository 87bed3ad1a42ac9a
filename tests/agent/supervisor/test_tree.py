"""The process tree of a worker: who belongs to it and what reaches them. Real processes."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from agent.protocol.jobs import Job
from agent.supervisor.supervision import Supervision
from agent.supervisor.tree import memory_available, tree_of
from agent.supervisor.watchdog import Caps
from tests.fakes.timeouts import TIMEOUT_S, until

MIB = 2**20
LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
CHILD = """
import os, sys
block = bytearray(b"x") * (40 * 2**20)
os.write(os.open(os.devnull, os.O_WRONLY), block)
print(os.getpid(), flush=True)
sys.stdin.read()
"""
WORKER = f"""
import os, subprocess, sys
child = [sys.executable, "-c", {CHILD!r}]
orphaning = "import subprocess, sys; subprocess.Popen(sys.argv[1:])"
for line in sys.stdin:
    kind = line.strip()
    if kind == "end":
        os._exit(0)
    command = [sys.executable, "-c", orphaning, *child] if kind == "orphan" else child
    silent, _ = os.pipe()
    started = subprocess.Popen(command, stdin=silent, start_new_session=kind == "stray")
    if kind == "orphan":
        started.wait()
"""


class Worker:
    """Starts processes on request: a "child", an "orphan" or a "stray" that leaves the session."""

    def __init__(self):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        command = [sys.executable, "-c", WORKER]
        self.process = subprocess.Popen(command, text=True, start_new_session=True, **pipes)
        self.pid = self.process.pid
        self._others = []

    def start(self, kind):
        """The pid of the new process, which has used memory and written."""
        self._ask(kind)
        self._others.append(psutil.Process(int(self.process.stdout.readline())))
        return self._others[-1].pid

    def end(self):
        self._ask("end")
        self.process.wait(TIMEOUT_S)

    def close(self):
        for other in self._others:
            if other.is_running():
                other.kill()
        self.process.kill()
        self.process.wait(TIMEOUT_S)
        self.process.stdin.close()
        self.process.stdout.close()

    def _ask(self, line):
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()


@pytest.fixture
def worker():
    started = Worker()
    yield started
    started.close()


def state(pid):
    """The kernel's one-letter state of a process; "" once it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def is_gone(pid):
    return state(pid) in ("", "Z", "X")


@pytest.mark.parametrize("kind", ["child", "orphan", "stray"])
@pytest.mark.parametrize("started", ["before the tree", "before the first listing", "later"])
def test_every_process_of_the_worker_is_suspended_resumed_and_killed(worker, kind, started):
    if started == "before the tree":
        other = worker.start(kind)
    tree = tree_of(worker.pid)
    if started == "later":
        tree.discover()
    if started != "before the tree":
        other = worker.start(kind)
    tree.discover()
    tree.suspend()
    until(lambda: state(other) == state(worker.pid) == "T", what="the stop of both")
    tree.resume()
    until(lambda: "T" not in (state(other), state(worker.pid)), what="both running")
    tree.kill()
    until(lambda: is_gone(other) and is_gone(worker.pid), what="the end of both")


@pytest.mark.parametrize("kind", ["child", "orphan", "stray"])
def test_a_process_once_seen_stays_in_reach_when_the_worker_is_gone(worker, kind):
    tree, other = tree_of(worker.pid), worker.start(kind)
    tree.discover()
    assert tree.poll() is not None
    worker.end()
    assert tree.poll() is None
    assert not is_gone(other)
    tree.kill()
    until(lambda: is_gone(other), what="the end of the orphan")


def test_an_orphan_that_was_never_listed_is_killed_with_its_session(worker):
    tree, other = tree_of(worker.pid), worker.start("child")
    worker.end()
    tree.kill()
    until(lambda: is_gone(other), what="the end of the orphan")


def test_a_request_to_end_reaches_a_suspended_tree(worker):
    tree, other = tree_of(worker.pid), worker.start("stray")
    tree.discover()
    tree.suspend()
    tree.terminate()
    until(lambda: is_gone(other) and is_gone(worker.pid), what="the end of both")


def test_nothing_raises_once_the_tree_is_gone(worker):
    tree = tree_of(worker.pid)
    assert tree.cpu_time_s() > 0
    worker.end()
    last_s = tree.cpu_time_s()
    for late in (tree, tree_of(worker.pid)):
        for act in (
            late.lower_priority,
            late.discover,
            late.suspend,
            late.resume,
            late.terminate,
            late.kill,
        ):
            act()
        assert late.poll() is None
    assert tree.cpu_time_s() == last_s


@pytest.mark.system
@pytest.mark.skipif(not os.access(LAST_PID, os.W_OK), reason="only root chooses the next pid")
def test_a_process_that_reuses_the_pid_is_left_alone(worker):
    tree = tree_of(worker.pid)
    tree.poll()
    worker.end()
    with until(lambda: _started_as(worker.pid), what="a process with that pid") as other:
        tree.kill()
        assert tree.poll() is None
        for act in (tree.suspend, tree.terminate):
            act()
        assert other.communicate("still here", TIMEOUT_S) == ("still here", None)


def _started_as(pid):
    """A process with this pid, that leads a session of its own, or None: another took the pid."""
    LAST_PID.write_text(str(pid - 1))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen(["cat"], text=True, start_new_session=True, **pipes)
    if process.pid == pid:
        return process
    process.communicate("", TIMEOUT_S)
    return None


def test_a_tree_uses_the_memory_of_all_and_has_written_what_all_wrote(worker):
    tree = tree_of(worker.pid)
    before = tree.poll()
    children = [worker.start("child"), worker.start("stray")]
    tree.discover()
    usage = tree.poll()
    assert usage.rss_bytes >= before.rss_bytes + 80 * MIB
    assert usage.written_bytes >= before.written_bytes + 80 * MIB
    for child in children:
        psutil.Process(child).kill()
    until(lambda: all(map(is_gone, children)), what="the end of the children")
    after = tree.poll()
    assert after.rss_bytes < usage.rss_bytes - 80 * MIB
    assert after.written_bytes >= usage.written_bytes


def test_the_lowest_priority_is_set_from_outside(worker):
    tree_of(worker.pid).lower_priority()
    process = psutil.Process(worker.pid)
    assert process.nice() == 19
    assert process.ionice().ioclass == psutil.IOPRIO_CLASS_IDLE


def test_a_child_that_is_found_while_the_worker_is_suspended_is_suspended_too(worker):
    supervision = Supervision(Caps(100, 512 * MIB))
    governor = supervision.watch(worker.pid, Job.TRAIN, 512)
    try:
        other = worker.start("stray")
        supervision.suspend()
        until(lambda: state(other) == "T", what="the stop of the child")
    finally:
        governor.close()


def test_memory_that_programs_can_still_take_is_part_of_all_there_is():
    assert 0 < memory_available() < psutil.virtual_memory().total
