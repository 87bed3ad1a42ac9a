"""A worker and everything it starts, handled as one: measure, suspend, resume, end and kill it.

1. psutil is the only handle, on every platform. It compares creation times before it acts, so a
   process that reuses a pid is never touched; see `_Handle` for how often.
2. A process belongs to the tree if its parent does when it is first seen, or if it is in the
   session that the worker leads. Its handle is kept, so an orphan stays in reach.
3. The processor clock is the one exception. psutil counts in ticks of 10 ms (`cpu_times`, 41 µs a
   read) and the governor cuts slices of about 12.5 ms, so Linux reads the kernel's clock (1.3 µs).
4. `kill` ends with a signal to the process group. psutil has none, and only the kernel reaches a
   child born between the listing and the signal. In the sandbox of Linux there are no children.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import psutil

from agent.sandbox import priority

ProcessorTime = Callable[[psutil.Process], float]
"""Processor seconds of a process since its start. Raises psutil.Error or OSError once it ended."""

CHECK_S = 2.0
"""The time for which a handle relies on its last check."""
_GONE = (psutil.Error, OSError)


@dataclass(frozen=True)
class TreeUsage:
    """Memory the tree uses now, and bytes it has written since its start."""

    rss_bytes: int
    written_bytes: int


class ProcessTree(Protocol):
    """What the governor needs. Every call is cheap and does nothing once the tree is gone."""

    def lower_priority(self) -> None:
        """Put the worker last in line for processor and disk. Call it right after the start."""

    def cpu_time_s(self) -> float:
        """Processor seconds of the whole tree since it started; never falls."""

    def discover(self) -> None:
        """Find processes that joined since the last call. Lists all processes of the machine."""

    def poll(self) -> TreeUsage | None:
        """Measure all known processes. None: the worker is gone. Call it about once a second."""

    def suspend(self) -> None: ...

    def resume(self) -> None: ...

    def terminate(self) -> None:
        """Ask it to write a checkpoint and end (SIGTERM)."""

    def kill(self) -> None: ...


class _Handle(psutil.Process):
    """A handle that compares creation times every CHECK_S instead of before every signal.

    The governor sends 16 signals a second. With caches full of the worker's data one comparison
    takes 150 µs: together 0.25 % of a core, as much as all its other work. The kernel gives out all
    other pids before it reuses one, and that takes far longer than CHECK_S.
    """

    _checked_until = 0.0

    def is_running(self) -> bool:
        return time.monotonic() < self._checked_until or self.check()

    def check(self) -> bool:
        """Compare now. Whether it is running."""
        is_running = super().is_running()
        self._checked_until = time.monotonic() + CHECK_S if is_running else 0.0
        return is_running


@dataclass(eq=False)
class _Member:
    process: _Handle
    cpu_time_s: float = 0.0
    rss_bytes: int = 0
    written_bytes: int = 0
    is_running: bool = True


class PsutilTree:
    """The tree that starts with `pid`, which leads its own session.

    Two threads may call it at once: members are only ever added, and by one thread at a time.
    """

    def __init__(self, pid: int, processor_time: ProcessorTime) -> None:
        self._pid = pid
        self._processor_time = processor_time
        # None if it has already ended: then every call does nothing.
        self._worker = _worker_of(pid)
        self._members = [self._worker] if self._worker else []
        self._listed: frozenset[int] = frozenset()
        """Pids of the last listing; each process is examined once, when it appears."""
        self._discovery = threading.Lock()

    def lower_priority(self) -> None:
        if self._worker:
            priority.lower(self._worker.process)

    def cpu_time_s(self) -> float:
        for member in self._members:
            if member.is_running:
                try:
                    member.cpu_time_s = self._processor_time(member.process)
                except _GONE:  # the last value stays
                    continue
        return sum(member.cpu_time_s for member in self._members)

    def discover(self) -> None:
        """Examine what appeared since the last listing.

        psutil's `children` reads every process of the machine, 15 µs each: it is asked once only.
        """
        with self._discovery, suppress(*_GONE):
            pids = frozenset(psutil.pids())
            new, is_first, self._listed = pids - self._listed, not self._listed, pids
            own_session = [pid for pid in new if _session_of(pid) == self._pid]
            if own_session and self._is_session_ours():
                self._add(_handles(own_session))
            if not is_first:
                self._add_children(_handles(new))
            elif self._worker:
                children = self._worker.process.children(recursive=True)
                self._add(_handles(child.pid for child in children))

    def poll(self) -> TreeUsage | None:
        for member in self._members:
            _measure(member)
        if self._worker is None or not self._worker.rss_bytes:  # a zombie has no memory
            return None
        return TreeUsage(
            sum(member.rss_bytes for member in self._members),
            sum(member.written_bytes for member in self._members),
        )

    def suspend(self) -> None:
        self._each(psutil.Process.suspend)

    def resume(self) -> None:
        self._each(psutil.Process.resume)

    def terminate(self) -> None:
        # A stopped process cannot handle the signal.
        self._each(psutil.Process.resume)
        self._each(psutil.Process.terminate)

    def kill(self) -> None:
        self.discover()
        # A kill must not rely on a check that is CHECK_S old: it may hit a stranger.
        for member in self._members:
            with suppress(*_GONE):
                member.is_running = member.process.check()
        self._each(psutil.Process.kill)
        if sys.platform != "win32" and self._is_session_ours():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, signal.SIGKILL)

    def _each(self, act: Callable[[psutil.Process], None]) -> None:
        for member in self._members:
            if member.is_running:
                try:
                    act(member.process)
                except _GONE:
                    continue

    def _is_session_ours(self) -> bool:
        """Whether the worker's pid still names its session: no other process took the number."""
        try:
            is_running = self._worker is not None and self._worker.process.check()
        except OSError:  # out of descriptors to check with; the group signal needs none
            return True
        return is_running or not psutil.pid_exists(self._pid)

    def _add_children(self, strangers: list[_Handle]) -> None:
        # Each turn may find children of those that the last one added.
        while children := [process for process in strangers if self._is_child(process)]:
            self._add(children)
            strangers = [process for process in strangers if process not in children]

    def _is_child(self, process: _Handle) -> bool:
        with suppress(*_GONE):
            parent = process.ppid()
            return any(
                member.is_running and member.process.pid == parent for member in self._members
            )
        return False

    def _add(self, processes: Iterable[_Handle]) -> None:
        known = {member.process for member in self._members}
        self._members += [_Member(process) for process in processes if process not in known]


def tree_of(pid: int) -> PsutilTree:
    """Return the tree that starts with `pid`, which leads its own session."""
    return PsutilTree(pid, _kernel_clock if sys.platform == "linux" else _counted_time)


def memory_available() -> int:
    """Return the bytes that programs can still take without swapping."""
    return int(psutil.virtual_memory().available)


def _worker_of(pid: int) -> _Member | None:
    with suppress(*_GONE):
        return _Member(_Handle(pid))
    return None


def _kernel_clock(process: psutil.Process) -> float:
    """CPUCLOCK_SCHED of the thread group (clock_getcpuclockid(3)): all threads, in nanoseconds."""
    return time.clock_gettime((~process.pid << 3) | 2)


def _counted_time(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _measure(member: _Member) -> None:
    """Note the memory of one process, what it has written, and whether it is still there."""
    member.rss_bytes = 0
    if not member.is_running:
        return
    with suppress(*_GONE):
        member.is_running = member.process.is_running()
        member.rss_bytes = member.process.memory_info().rss
        member.written_bytes = _written_bytes(member.process)


def _written_bytes(process: psutil.Process) -> int:
    if sys.platform == "darwin":  # psutil counts no I/O there
        return 0
    counters = process.io_counters()
    return int(counters.write_chars if sys.platform == "linux" else counters.write_bytes)


def _handles(pids: Iterable[int]) -> list[_Handle]:
    """Return handles of the processes that are still there."""
    found = []
    for pid in pids:
        with suppress(*_GONE):
            found.append(_Handle(pid))
    return found


def _session_of(pid: int) -> int:
    """Return the session of a process, 0 if unknown; psutil knows no sessions."""
    if sys.platform != "win32":
        with suppress(OSError):
            return os.getsid(pid)
    return 0
