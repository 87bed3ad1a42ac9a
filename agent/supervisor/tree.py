"""A worker and everything that it started, as one thing: read its use from the kernel, suspend,
resume and kill it.

The worker leads a process group of its own (it is started in a new session), so that one signal
reaches all of it at once, also children that were orphaned. A child that leaves the group is still
found through its parents; on Linux the fence allows no children at all.
"""

import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import psutil


@dataclass(frozen=True)
class Held:
    """What a tree holds now, and what it wrote since its start."""

    rss_bytes: int
    written_bytes: int


class Tree(Protocol):
    """What the governor needs of a process tree.

    All calls are cheap and do nothing once the tree is gone.
    """

    def used_s(self) -> float:
        """Processor seconds of the whole tree since it started; never falls."""

    def look(self) -> "Held | None":
        """Find processes started since the last look, and what all of them hold; None: it is gone.

        Call about once a second.
        """

    def suspend(self) -> None: ...

    def resume(self) -> None: ...

    def end(self) -> None:
        """Ask it to write a checkpoint and end (SIGTERM)."""

    def kill(self) -> None: ...


class LinuxTree:
    """Reads the kernel's own clocks of each process: one system call of a microsecond, exact to the
    nanosecond, all threads included.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._known: dict[int, float] = {pid: 0.0}
        self._page = os.sysconf("SC_PAGE_SIZE")

    def used_s(self) -> float:
        for pid in tuple(self._known):  # asked from two threads, and children are found meanwhile
            with suppress(OSError):  # gone: its last value stays
                self._known[pid] = time.clock_gettime(_clock_of(pid))
        return sum(tuple(self._known.values()))

    def look(self) -> Held | None:
        stats = {pid: _stat(pid) for pid in self._with_children()}
        own = stats.get(self._pid)
        if own is None or own.state in b"ZX":
            return None
        pages = sum(stat.rss_pages for stat in stats.values() if stat is not None)
        return Held(pages * self._page, sum(_written(pid) for pid in stats))

    def _with_children(self) -> list[int]:
        waiting = list(self._known)
        while waiting:
            for child in _children_of(waiting.pop()):
                if child not in self._known:
                    self._known[child] = 0.0
                    waiting.append(child)
        return list(self._known)

    def suspend(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def end(self) -> None:
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._with_children()
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

    def look(self) -> Held | None:
        self._find_children()
        if not self._all[0].is_running():
            return None
        total = 0
        for process in self._all:
            with suppress(psutil.Error):
                total += process.memory_info().rss
        return Held(total, 0)

    def _find_children(self) -> None:
        with suppress(psutil.Error):
            known = {process.pid for process in self._all}
            self._all += [
                child for child in self._all[0].children(recursive=True) if child.pid not in known
            ]

    def suspend(self) -> None:
        self._each("suspend")

    def resume(self) -> None:
        self._each("resume")

    def end(self) -> None:
        self._each("resume")
        self._each("terminate")

    def kill(self) -> None:
        self._find_children()
        self._each("kill")

    def _each(self, act: str) -> None:
        for process in self._all:
            with suppress(psutil.Error):
                getattr(process, act)()


def tree_of(pid: int) -> Tree:
    """The tree that starts with `pid`, which leads its own process group."""
    return LinuxTree(pid) if sys.platform == "linux" else PsutilTree(pid)


def _clock_of(pid: int) -> int:
    """The clock id of another process's processor time: CPUCLOCK_SCHED of its thread group
    (clock_getcpuclockid(3)).
    """
    return (~pid << 3) | 2


@dataclass(frozen=True)
class _Stat:
    state: bytes
    rss_pages: int


def _stat(pid: int) -> _Stat | None:
    """Two fields of /proc/PID/stat (proc(5): 3 and 24), counted from the end of the name, which may
    hold anything.
    """
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return _Stat(fields[0], int(fields[21])) if len(fields) > 21 else None


def _children_of(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - a Path for each costs more than the reading
            found += map(int, _read(f"/proc/{pid}/task/{thread}/children").split())
    return found


def _written(pid: int) -> int:
    return _number_after(b"wchar:", _read(f"/proc/{pid}/io"))


def memory_available() -> int:
    """Bytes that programs of this computer may still take without swapping."""
    kib = _number_after(b"MemAvailable:", _read("/proc/meminfo"))
    return kib * 1024 if kib else int(psutil.virtual_memory().available)


def _number_after(name: bytes, text: bytes) -> int:
    """0 when the name is not there."""
    words = text.partition(name)[2].split(maxsplit=1)
    return int(words[0]) if words else 0


def _read(path: str) -> bytes:
    """All of a small file of /proc in one system call, b"" when it is gone."""
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.read(file, 4096)
    except OSError:
        return b""
    finally:
        os.close(file)
