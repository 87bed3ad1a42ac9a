"""A worker and everything that it started, as one thing: read its use from the kernel, suspend, resume and kill it.

The worker leads a process group of its own (it is started in a new session), so that one signal reaches all of it at once, also children
that were orphaned. A child that leaves the group is still found through its parents; on Linux the fence allows no children at all.
"""

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import psutil


class Tree(Protocol):
    """What the governor needs of a process tree. All calls are cheap and do nothing once the tree is gone."""

    def used_s(self) -> float:
        """Processor seconds of the whole tree since it started; never falls."""

    def look_for_children(self) -> None:
        """Find processes started since the last look; call about once a second."""

    def rss_bytes(self) -> int: ...

    def written_bytes(self) -> int: ...

    def is_alive(self) -> bool: ...

    def suspend(self) -> None: ...

    def resume(self) -> None: ...

    def end(self) -> None:
        """Ask it to write a checkpoint and end (SIGTERM)."""

    def kill(self) -> None: ...


class LinuxTree:
    """Reads the kernel's own clocks of each process: one system call of a microsecond, exact to the nanosecond, all threads included."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._known: dict[int, float] = {pid: 0.0}
        self._page = os.sysconf("SC_PAGE_SIZE")

    def used_s(self) -> float:
        for pid in tuple(self._known):  # asked from two threads, and children are found meanwhile
            with suppress(OSError):  # gone: its last value stays
                self._known[pid] = time.clock_gettime(_clock_of(pid))
        return sum(tuple(self._known.values()))

    def look_for_children(self) -> None:
        waiting = list(self._known)
        while waiting:
            for child in _children_of(waiting.pop()):
                if child not in self._known:
                    self._known[child] = 0.0
                    waiting.append(child)

    def rss_bytes(self) -> int:
        return sum(_field(pid, "statm", 1) for pid in self._known) * self._page

    def written_bytes(self) -> int:
        return sum(_written(pid) for pid in self._known)

    def is_alive(self) -> bool:
        state = _text(self._pid, "stat").rpartition(")")[2].split()[:1]
        return bool(state) and state[0] not in "ZX"

    def suspend(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def end(self) -> None:
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self.look_for_children()
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, number)
        for pid in list(self._known)[1:]:  # children may have left the group
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)


class PsutilTree:
    """The same by psutil, for Windows and macOS. Unverified: nobody has run it there yet."""

    def __init__(self, pid: int) -> None:
        self._all = [psutil.Process(pid)]
        self._used: dict[int, float] = {}

    def used_s(self) -> float:
        for process in self._all:
            with suppress(psutil.Error):
                times = process.cpu_times()
                self._used[process.pid] = times.user + times.system
        return sum(tuple(self._used.values()))

    def look_for_children(self) -> None:
        with suppress(psutil.Error):
            known = {process.pid for process in self._all}
            self._all += [child for child in self._all[0].children(recursive=True) if child.pid not in known]

    def rss_bytes(self) -> int:
        total = 0
        for process in self._all:
            with suppress(psutil.Error):
                total += process.memory_info().rss
        return total

    def written_bytes(self) -> int:
        return 0

    def is_alive(self) -> bool:
        return self._all[0].is_running()

    def suspend(self) -> None:
        self._each("suspend")

    def resume(self) -> None:
        self._each("resume")

    def end(self) -> None:
        self._each("resume")
        self._each("terminate")

    def kill(self) -> None:
        self.look_for_children()
        self._each("kill")

    def _each(self, act: str) -> None:
        for process in self._all:
            with suppress(psutil.Error):
                getattr(process, act)()


def tree_of(pid: int) -> Tree:
    """The tree that starts with `pid`, which leads its own process group."""
    return LinuxTree(pid) if sys.platform == "linux" else PsutilTree(pid)


def _clock_of(pid: int) -> int:
    """The clock id of another process's processor time: CPUCLOCK_SCHED of its thread group (clock_getcpuclockid(3))."""
    return (~pid << 3) | 2


def _children_of(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found += (int(child) for child in (thread / "children").read_text().split())
    return found


def _written(pid: int) -> int:
    for line in _text(pid, "io").splitlines():
        if line.startswith("wchar:"):
            return int(line.split()[1])
    return 0


def _field(pid: int, name: str, place: int) -> int:
    fields = _text(pid, name).split()
    return int(fields[place]) if len(fields) > place else 0


def _text(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""
