"""Attempts to break out of a worker's sandbox, made inside it for `aegis doctor`.

Each attempt goes as far as shows whether it would work, and no further: it sends signal 0, reads
one byte, opens without writing, starts a program that does not exist. One that works therefore
harms nothing. Linux only.
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_RAW = {
    # x86-64, aarch64
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "setns": (308, 268),
    "open_by_handle_at": (304, 265),
    "pidfd_send_signal": (424, 424),
    "io_uring_setup": (425, 425),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
}
"""Calls without a function in every C library."""
_COLUMN = {"x86_64": 0, "aarch64": 1}
_REFUSED = (errno.EPERM, errno.EACCES, errno.ENOSYS)
_PTRACE_SEIZE = 0x4206
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_UNNAMED = os.O_WRONLY | getattr(os, "O_TMPFILE", 0)
"""A new file without a name, gone when it is closed."""
_SI_QUEUE = struct.pack("iii", 0, 0, -1) + bytes(116)
"""A siginfo_t as programs may send it to others."""
_F_SETOWN = 8
_TEMPORARY = "/tmp"  # noqa: S108 - nothing with a name is made there
_KINDS = {"internet": 2, "IPv6": 10, "Unix": 1, "netlink": 16, "packet": 17}
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4

Attempt = Callable[[], int]
"""Returns the result of a call, negative with an errno when it failed; or raises OSError."""


@dataclass(frozen=True)
class Targets:
    """What the attempts aim at."""

    agent_pid: int
    home: str
    """The person's home folder."""
    database: str
    """The agent's database."""


@dataclass(frozen=True)
class _Calls:
    targets: Targets
    libc: ctypes.CDLL

    def sorts(self) -> dict[str, dict[str, Attempt]]:
        """Return the attempts by what they would reach."""
        pid, libc = self.targets.agent_pid, self.libc
        return {
            "network": {
                **{f"{kind} socket": self._socket(family) for kind, family in _KINDS.items()},
                "socket pair": lambda: libc.socketpair(1, 1, 0, (ctypes.c_int * 2)()),
            },
            "agent's memory": {
                "/proc/…/mem": lambda: _opened(f"/proc/{pid}/mem"),
                "process_vm_readv": self._read_agent,
                "ptrace": lambda: libc.ptrace(_PTRACE_SEIZE, pid, None, None),
            },
            "agent's open files": {
                "/proc/…/fd": lambda: _opened(f"/proc/{pid}/fd"),
                "pidfd_getfd": self._copy_descriptor,
            },
            "signals to the agent": {
                "kill": lambda: libc.kill(pid, 0),
                "tgkill": lambda: self._raw("tgkill", pid, pid, 0),
                "rt_sigqueueinfo": lambda: self._raw("rt_sigqueueinfo", pid, 0, _SI_QUEUE),
                "pidfd_send_signal": lambda: self._raw("pidfd_send_signal", 0, 0, None, 0),
                "F_SETOWN": lambda: libc.fcntl(0, _F_SETOWN, pid),
            },
            "agent's limits": {
                "prlimit": lambda: libc.prlimit(pid, 7, None, (ctypes.c_uint64 * 2)()),
                "setpriority": lambda: libc.setpriority(0, pid, libc.getpriority(0, pid)),
                "sched_setaffinity": lambda: libc.sched_setaffinity(pid, 0, None),
            },
            "agent's database": {
                "reading": lambda: _opened(self.targets.database),
                "writing": lambda: _opened(self.targets.database, os.O_RDWR),
            },
            "person's files": {
                "listing the home folder": lambda: _opened(self.targets.home),
                "reading a file of it": lambda: _opened(self._first_file()),
                "a file by its handle": lambda: self._raw("open_by_handle_at", -100, None, 0),
            },
            "writing a file": {
                "in the home folder": lambda: _opened(self.targets.home, _UNNAMED),
                "in the folder for temporary files": lambda: _opened(_TEMPORARY, _UNNAMED),
                "another mode": self._same_mode,
            },
            "other programs": {
                "fork": _forked,
                "execve": lambda: libc.execve(b"/nonexistent", None, None),
            },
            "namespaces and mounts": {
                "unshare": lambda: libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET),
                "setns": lambda: self._raw("setns", 0, 0),
                "mount": lambda: libc.mount(None, b"/nonexistent", None, 0, None),
                "chroot": lambda: libc.chroot(b"/nonexistent"),
            },
            "rare parts of the kernel": {
                "keyctl": lambda: self._raw("keyctl", 0, -3, 0),
                "bpf": lambda: self._raw("bpf", 0, None, 0),
                "io_uring_setup": lambda: self._raw("io_uring_setup", 0, None),
                "perf_event_open": lambda: self._raw("perf_event_open", None, 0, 0, -1, 0),
                "userfaultfd": lambda: self._raw("userfaultfd", 1 << 30),
                "shared memory": lambda: libc.shmget(0, 0, 0),
            },
            "its own rules": {
                "outliving the agent": lambda: libc.prctl(_PR_SET_PDEATHSIG, 0, 0, 0, 0),
                "another memory mode": lambda: libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0),
                "code in writable memory": self._writable_code,
            },
        }

    def _raw(self, name: str, *arguments: object) -> int:
        number = _RAW[name][_COLUMN[platform.machine()]]
        return int(self.libc.syscall(number, *arguments))

    def _socket(self, family: int) -> Attempt:
        return lambda: int(self.libc.socket(family, 3 if family in (16, 17) else 1, 0))

    def _read_agent(self) -> int:
        """Read one byte at an address that no process maps: refused or not comes first."""
        vector = (ctypes.c_uint64 * 2)(0, 1)
        pid = self.targets.agent_pid
        return int(self.libc.process_vm_readv(pid, vector, 1, vector, 1, 0))

    def _copy_descriptor(self) -> int:
        descriptor = self._raw("pidfd_open", self.targets.agent_pid, 0)
        return descriptor if descriptor < 0 else self._raw("pidfd_getfd", descriptor, 0, 0)

    def _first_file(self) -> str:
        for name in (".bashrc", ".profile", ".ssh", ".config"):
            path = os.path.join(self.targets.home, name)  # noqa: PTH118 - any bytes may be a path
            if os.path.lexists(path):
                return path
        return self.targets.home

    def _same_mode(self) -> int:
        mode = Path(self.targets.database).stat().st_mode & 0o777
        return int(self.libc.chmod(os.fsencode(self.targets.database), mode))

    def _writable_code(self) -> int:
        self.libc.mmap.restype = ctypes.c_void_p
        address = self.libc.mmap(None, ctypes.c_size_t(4096), 7, 0x22, -1, 0)
        return -1 if address == ctypes.c_void_p(-1).value else 0


def attempts(targets: Targets) -> Iterator[tuple[str, str]]:
    """Yield what was aimed at and what was possible, "" where every attempt was refused."""
    if platform.machine() not in _COLUMN:
        return
    calls = _Calls(targets, ctypes.CDLL(None, use_errno=True))
    for sort, tries in calls.sorts().items():
        possible = [name for name, attempt in tries.items() if not _is_refused(attempt)]
        yield sort, ", ".join(possible)


def _is_refused(attempt: Attempt) -> bool:
    """Only a refusal counts: any other error means that the kernel went as far as to look.

    A file that is not there proves nothing and counts as refused.
    """
    ctypes.set_errno(0)
    try:
        result = attempt()
    except FileNotFoundError:
        return True
    except OSError as error:
        return error.errno in _REFUSED
    if result < 0:
        return ctypes.get_errno() in _REFUSED
    return False


def _opened(path: str, flags: int = os.O_RDONLY) -> int:
    os.close(os.open(path, flags | os.O_CLOEXEC))
    return 0


def _forked() -> int:
    child = os.fork()
    if child == 0:
        os._exit(0)
    with suppress(OSError):
        os.waitpid(child, 0)
    return child
