"""What the system forbids a worker: network, children, other processes, files that its job does not
name, unbounded memory and files, life without its parent.

The worker calls `bound` as its first act and `confine` before it runs its job, with what the job
may open. Rules, each with what it rests on (docs/adr/0009):
1. It dies with its parent (PR_SET_PDEATHSIG, then a check that the parent is still the same).
2. Memory, file size, open files and core dumps are bounded (setrlimit).
3. It opens the files of its job and of Python, and nothing else (agent.sandbox.landlock).
4. It makes the system calls of a list, and no others (agent.sandbox.seccomp; all threads inherit it
   and none can remove it). Where there is no seccomp: an empty network namespace of its own.
The agent sets the priority from outside (agent.sandbox.priority). `agent.sandbox.escape` tries to
break out, and `aegis doctor` shows what it could do. macOS and Windows have rules of their own
(agent.sandbox.macos, agent.sandbox.windows), which have not been verified there.
"""

import ctypes
import os
import sys
from contextlib import suppress
from dataclasses import dataclass

from agent.sandbox import landlock, seccomp
from agent.sandbox.access import Access, this_program

_PR_SET_PDEATHSIG = 1
_SIGKILL = 9
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
MAX_OPEN_FILES = 64
"""A worker has one file of its job open at a time; libraries open a few while they load."""

RULES = (
    "named files only",
    "listed system calls only",
    "no network",
    "no children",
    "dies with its parent",
    "memory",
    "file size",
    "no core dump",
    "open files",
)
"""What should confine a worker, the most important first."""


@dataclass(frozen=True)
class Bounds:
    """The parameters of the first two rules."""

    parent_pid: int
    memory_bytes: int
    """Address space; leave headroom above the governor's cap on resident memory."""
    file_bytes: int
    """The largest file that the process may write."""


def bound(bounds: Bounds) -> tuple[str, ...]:
    """Bound this process, and return the rules now in force.

    Ends the process when its parent has died already.
    """
    names = _limits(bounds)
    if sys.platform == "linux":
        names += _dies_with_parent(ctypes.CDLL(None, use_errno=True), bounds.parent_pid)
    return tuple(names)


def confine(access: Access, *, inside: bool = False) -> tuple[str, ...]:
    """Confine this process to what its job may open, and return the rules now in force.

    Call it before a second thread starts. `inside`: agent.sandbox.windows started this process.
    """
    if sys.platform == "darwin":
        from agent.sandbox import macos

        return macos.confine(access, this_program())
    if sys.platform != "linux":
        return ("no children",) if inside else ()
    libc = ctypes.CDLL(None, use_errno=True)
    if not seccomp.gain_nothing(libc):
        return ()
    names = [*landlock.confine(access, this_program())]
    # Last, because Landlock's own calls are not on the list.
    if seccomp.confine(writes=bool(access.write)):
        names += ["listed system calls only", "no network", "no children"]
    elif libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0:
        names.append("no network")
    return tuple(names)


def _limits(bounds: Bounds) -> list[str]:
    """Bound this process itself. psutil sets limits on Linux only, and loads in 20 ms."""
    try:
        import resource
    except ImportError:  # Windows
        return []
    names = []
    for name, kind, most in (
        ("memory", resource.RLIMIT_AS, bounds.memory_bytes),
        ("file size", resource.RLIMIT_FSIZE, bounds.file_bytes),
        ("no core dump", resource.RLIMIT_CORE, 0),
        ("open files", resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
    ):
        with suppress(OSError, ValueError):
            resource.setrlimit(kind, (most, most))
            names.append(name)
    return names


def _dies_with_parent(libc: ctypes.CDLL, parent_pid: int) -> list[str]:
    if libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0) != 0:
        return []
    if os.getppid() != parent_pid:  # the parent died before the call
        os._exit(1)
    return ["dies with its parent"]
