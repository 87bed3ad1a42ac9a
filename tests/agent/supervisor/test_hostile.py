"""Workers that fork, ignore signals, take memory, spin in native code or write without end: the
governor limits and ends each from outside.

They are real processes outside the sandbox, so that only the governor stops them. The test reads
their use from the kernel itself.
"""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from agent.protocol.jobs import Job
from agent.supervisor.governor import POLL_S
from agent.supervisor.supervision import Supervision
from agent.supervisor.watchdog import Action, Caps, Limit
from tests.fakes.timeouts import TIMEOUT_S, until

pytestmark = pytest.mark.system
MIB = 2**20
RUNNING_S = 0.05
"""Processor seconds after which a worker is known to run."""
PROGRAMS = {
    "forks": "import os\nfor _ in range(3): os.fork()\nos.write(1, b'on\\n')\nwhile True: pass",
    "spins in native code": (
        "import hashlib, signal\nfor n in (15, 2, 1): signal.signal(n, signal.SIG_IGN)\n"
        "print('on', flush=True)\nhashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)"
    ),
    "allocates": (
        "import time\nprint('on', flush=True)\nblocks = []\n"
        "while True: blocks.append(bytearray(8 * 2**20)); time.sleep(0.05)"
    ),
    "writes": (
        "import os, sys, time\nprint('on', flush=True)\nfile = os.open(sys.argv[1], os.O_CREAT |"
        " os.O_RDWR)\nwhile True: os.pwrite(file, bytes(2**20), 0); time.sleep(0.01)"
    ),
}


class Watched:
    """A hostile program under the product's own supervision."""

    def __init__(self, kind, caps, folder):
        self.events, self.ended = [], threading.Event()
        self.child = subprocess.Popen(
            [sys.executable, "-c", PROGRAMS[kind], str(folder / "file")],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self.child.stdout.readline() == b"on\n"
        self.supervision = Supervision(caps, self._note)
        self.governor = self.supervision.watch(self.child.pid, Job.TRAIN, 3072)

    def _note(self, event):
        self.events.append(event)
        self.ended.set()

    def group(self):
        """Return the pids of its process group that still exist."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[2] == str(self.child.pid) and fields[0] not in "ZX":
                found.append(int(stat.parent.name))
        return found

    def is_stopped(self):
        """Whether every process of the group is stopped."""
        return all(_state(pid) in ("T", "") for pid in self.group())

    def used_s(self):
        """Return the processor seconds of the group, from schedstat."""
        return (
            sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in self.group())
            / 1e9
        )


@pytest.fixture
def watched(tmp_path):
    made = []

    def make(kind, caps):
        made.append(Watched(kind, caps, tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.governor.close()
        one.child.stdout.close()
        one.child.wait(TIMEOUT_S)
        until(lambda one=one: one.group() == [], what="the end of all its children")


def share_of(watched, seconds):
    """Return its share of a core over that time."""
    before, started = watched.used_s(), time.monotonic()
    until(lambda: time.monotonic() - started >= seconds, what="the end of the measurement")
    return (watched.used_s() - before) / (time.monotonic() - started)


def until_it_runs(watched):
    """Wait until it has used the processor. A busy machine gives it little: it has the lowest
    priority.
    """
    before = watched.used_s()
    until(lambda: watched.used_s() > before + RUNNING_S, what="some processor time")


@pytest.mark.parametrize(("kind", "processes"), [("forks", 8), ("spins in native code", 1)])
def test_p9_a_worker_that_spins_keeps_to_its_share_and_is_gone_at_the_end(watched, kind, processes):
    one = watched(kind, Caps(20, 512 * MIB))
    # Once all are stopped the governor has found them all. What they used before is a debt, which
    # keeps them stopped at first.
    until(lambda: len(one.group()) == processes and one.is_stopped(), what="the stop of all")
    until_it_runs(one)
    assert share_of(one, 4) <= 0.25  # a busy machine gives less, never more
    assert one.events == []


def test_p9_a_spinning_worker_is_suspended_at_once_and_resumes(watched):
    one = watched("spins in native code", Caps(50, 512 * MIB))
    one.supervision.suspend()
    until(one.is_stopped, what="the suspension")
    used_s = one.used_s()
    polled_twice_s = one.governor.measured().running_s + 2 * POLL_S
    until(
        lambda: one.governor.measured().running_s > polled_twice_s, what="two polls of the governor"
    )
    assert (one.used_s(), one.is_stopped()) == (used_s, True)
    one.supervision.resume()
    until_it_runs(one)


def test_p9_a_worker_that_takes_memory_without_end_is_killed_with_one_event(watched):
    one = watched("allocates", Caps(100, 96 * MIB))
    assert one.ended.wait(TIMEOUT_S)
    assert one.child.wait(TIMEOUT_S) == -9
    (event,) = one.events
    assert (event.limit, event.action, event.cap) == (Limit.MEMORY, Action.KILLED, 96)
    assert event.value > 96
    assert one.supervision.last_stop == event


def test_p9_a_worker_that_writes_without_end_is_killed_with_one_event(watched):
    one = watched("writes", Caps(100, 512 * MIB, written_bytes=20 * MIB))
    assert one.ended.wait(TIMEOUT_S)
    assert one.child.wait(TIMEOUT_S) == -9
    assert [(event.limit, event.cap) for event in one.events] == [(Limit.WRITTEN, 20)]


def test_p9_a_worker_that_ignores_the_request_to_end_is_killed(watched):
    one = watched("spins in native code", Caps(50, 512 * MIB, running_s=1))
    assert one.ended.wait(TIMEOUT_S)
    assert one.child.wait(TIMEOUT_S) == -9
    assert [(event.limit, event.action) for event in one.events] == [
        (Limit.RUNNING_TIME, Action.ENDED)
    ]


def test_p10_a_suspended_worker_dies_with_its_agent(tmp_path):
    """kill -9 of the parent while its child is stopped leaves no orphan."""
    parent = (
        "import os, subprocess, sys\nchild = subprocess.Popen([sys.executable, '-c', sys.argv[1],"
        " str(os.getpid())], stdout=subprocess.PIPE,"
        " start_new_session=True)\nchild.stdout.readline(); os.kill(child.pid, 19);"
        " print(child.pid, flush=True); child.wait()"
    )
    worker = (
        "import sys, time\nfrom agent.sandbox.rules import Bounds, bound\n"
        "bound(Bounds(int(sys.argv[1]), 2**31, 2**20)); print('on', flush=True)\n"
        "while True: time.sleep(60)"
    )
    started = subprocess.Popen([sys.executable, "-c", parent, worker], stdout=subprocess.PIPE)
    orphan = int(started.stdout.readline())
    started.kill()
    started.wait()
    started.stdout.close()
    until(lambda: _state(orphan) in ("", "Z", "X"), what="the end of the child")


def _state(pid):
    """The kernel's one-letter state of a process; "" when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""
