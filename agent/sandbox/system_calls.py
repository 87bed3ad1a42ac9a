"""Which system calls a worker may make, as a filter program for seccomp. Pure.

The list holds what Python, numpy and scikit-learn need to read files, compute and write a file;
everything else is refused. Some calls are allowed with certain arguments only (see `_checks`).
Numbers: asm/unistd_64.h for x86-64, asm-generic/unistd.h for aarch64.
"""

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

KILL, ERRNO, ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
EPERM, ENOSYS = 1, 38
FIRST_UNKNOWN = 451
"""Calls from here on are newer than this list. They answer ENOSYS, and libraries do without."""
_X32 = 0x40000000

_Numbers = dict[str, tuple[int | None, int | None]]
"""By name: the number on x86-64 and on aarch64; None where there is no such call."""


def _calls(table: str) -> _Numbers:
    """Read "name x86-64 aarch64, …"; "-" where there is no such call."""

    def number(word: str) -> int | None:
        return None if word == "-" else int(word)

    rows = (row.split() for row in table.split(","))
    return {name: (number(x86), number(arm)) for name, x86, arm in rows}


_ALWAYS = _calls(
    # Files that are open already.
    "read 0 63, write 1 64, readv 19 65, writev 20 66, pread64 17 67, pwrite64 18 68, "
    "preadv 295 69, pwritev 296 70, lseek 8 62, close 3 57, close_range 436 436, dup 32 23, "
    "dup2 33 -, dup3 292 24, fstat 5 80, fstatfs 138 44, getdents64 217 61, fsync 74 82, "
    "fdatasync 75 83, fadvise64 221 223, ftruncate 77 46, pipe2 293 59, "
    "poll 7 -, ppoll 271 73, select 23 -, pselect6 270 72, "
    # Facts about paths; Landlock and the open flags decide what may be opened.
    "stat 4 -, lstat 6 -, newfstatat 262 79, statx 332 291, statfs 137 43, access 21 -, "
    "faccessat 269 48, faccessat2 439 439, readlink 89 -, readlinkat 267 78, getcwd 79 17, "
    # Its own memory.
    "brk 12 214, munmap 11 215, mremap 25 216, madvise 28 233, mincore 27 232, "
    # Threads and their locks.
    "futex 202 98, set_robust_list 273 99, rseq 334 293, sched_yield 24 124, "
    "sched_getaffinity 204 123, getcpu 309 168, gettid 186 178, set_tid_address 218 96, "
    # Facts about itself and the system.
    "getpid 39 172, getppid 110 173, getuid 102 174, geteuid 107 175, getgid 104 176, "
    "getegid 108 177, getpgrp 111 -, getpgid 121 155, getsid 124 156, getgroups 115 158, "
    "getresuid 118 148, getresgid 120 150, getpriority 140 141, ioprio_get 252 31, "
    "getrusage 98 165, times 100 153, sysinfo 99 179, uname 63 160, "
    # Time and randomness.
    "clock_gettime 228 113, clock_getres 229 114, clock_nanosleep 230 115, nanosleep 35 101, "
    "gettimeofday 96 169, time 201 -, getrandom 318 278, getitimer 36 102, setitimer 38 103, "
    "alarm 37 -, "
    # Its own signals and its end.
    "rt_sigaction 13 134, rt_sigprocmask 14 135, rt_sigreturn 15 139, rt_sigpending 127 136, "
    "rt_sigtimedwait 128 137, sigaltstack 131 132, restart_syscall 219 128, pause 34 -, "
    "exit 60 93, exit_group 231 94"
)
_WRITING = _calls("unlink 87 -, unlinkat 263 35, rename 82 -, renameat 264 38, renameat2 316 276")
"""For jobs that leave a file in their scratch folder; Landlock confines these calls to it."""
_CHECKED = _calls(
    "open 2 -, openat 257 56, fcntl 72 25, ioctl 16 29, mmap 9 222, mprotect 10 226, "
    "clone 56 220, prctl 157 167, tgkill 234 131, prlimit64 302 261"
)
_ABSENT = _calls("clone3 435 435, openat2 437 437")
"""A filter cannot see their arguments. They answer ENOSYS, and libraries use the older calls."""
TABLES = (_ALWAYS, _WRITING, _CHECKED, _ABSENT)

_THREAD, _THREAD_FLAGS = 0x00010000, 0x017D0F00
"""CLONE_THREAD, and all flags that C libraries start a thread with."""
_PRCTL = (15, 16, 23, 0x53564D41)
"""Names of threads and of memory (PR_SET_NAME, PR_GET_NAME, PR_SET_VMA), PR_CAPBSET_READ."""
_IOCTL = (0x5401, 0x802C542A, 0x5413, 0x541B, 0x5450, 0x5451)
"""TCGETS, TCGETS2 and TIOCGWINSZ ("is this a terminal?"), FIONREAD, FIONCLEX, FIOCLEX."""
_FCNTL = (0, 1, 2, 3, 4, 1030)
"""Duplicates and flags. Not F_SETOWN and F_SETSIG: they send signals to other processes."""
_OPEN_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | 0o20000000
"""The last one is O_TMPFILE without O_DIRECTORY."""
_PROT_WRITE, _PROT_EXEC, _MAP_ANONYMOUS = 2, 4, 32


@dataclass(frozen=True)
class Architecture:
    """One processor architecture that the list knows."""

    audit: int
    """AUDIT_ARCH_… of linux/audit.h."""
    column: int
    """Which of the two numbers is its own."""

    def number(self, name: str) -> int | None:
        """Return the number of a call of the list, or None."""
        return next(table[name] for table in TABLES if name in table)[self.column]

    def numbers(self, calls: _Numbers) -> Iterator[int]:
        """Yield the numbers of those calls that exist here."""
        for both in calls.values():
            if (number := both[self.column]) is not None:
                yield number


ARCHITECTURES = {
    "x86_64": Architecture(0xC000003E, 0),
    "aarch64": Architecture(0xC00000B7, 1),
}
"""By `platform.machine()`."""


def program(architecture: Architecture, pid: int, *, writes: bool) -> bytes:
    """Return the filter for the process `pid` in classic BPF (linux/filter.h).

    `writes`: whether the job may create, write, rename and remove files. A call of another
    architecture ends the process: no library makes one.
    """
    lines = [
        _load(_ARCH),
        _equal(architecture.audit, 1, 0),
        _answer(KILL),
        _load(_NUMBER),
        _at_least(_X32, 0, 1),  # the x32 calls of x86-64
        _answer(ERRNO | EPERM),
    ]
    for name, check in _checks(pid, writes=writes).items():
        checked = architecture.number(name)
        if checked is not None:
            lines += [_equal(checked, 0, len(check)), *check]
    # The kernel remembers calls that are always allowed, so they come after those it asks about.
    allowed = {**_ALWAYS, **_WRITING} if writes else _ALWAYS
    for number in architecture.numbers(allowed):
        lines += [_equal(number, 0, 1), _answer(ALLOW)]
    for number in architecture.numbers(_ABSENT):
        lines += [_equal(number, 0, 1), _answer(ERRNO | ENOSYS)]
    lines += [_at_least(FIRST_UNKNOWN, 0, 1), _answer(ERRNO | ENOSYS), _answer(ERRNO | EPERM)]
    return b"".join(lines)


def _checks(pid: int, *, writes: bool) -> dict[str, list[bytes]]:
    """Return what follows the number of each call whose arguments are looked at.

    The kernel itself reads the arguments that are checked here as 32 bits, so their lower halves
    say all; pointers are compared as a whole.
    """
    forbidden = os.O_TRUNC if writes else os.O_TRUNC | _OPEN_TO_WRITE
    # Truncating needs no right of its own before version 3 of Landlock, so nobody may.
    return {
        "open": _without(1, forbidden),
        "openat": _without(2, forbidden),
        "fcntl": _one_of(1, _FCNTL),
        "ioctl": _one_of(1, _IOCTL),
        "prctl": _one_of(0, _PRCTL),
        "tgkill": _one_of(0, (pid,)),
        # Threads, and neither processes nor namespaces.
        "clone": [
            _load(_low(0)),
            _any_bit(0xFFFFFFFF & ~_THREAD_FLAGS, 1, 0),
            _any_bit(_THREAD, 1, 0),
            _answer(ERRNO | EPERM),
            _answer(ALLOW),
        ],
        # Libraries are mapped from files; memory that was written is never executed.
        "mmap": [
            _load(_low(2)),
            _any_bit(_PROT_EXEC, 0, 4),
            _any_bit(_PROT_WRITE, 2, 0),
            _load(_low(3)),
            _any_bit(_MAP_ANONYMOUS, 0, 1),
            _answer(ERRNO | EPERM),
            _answer(ALLOW),
        ],
        "mprotect": _without(2, _PROT_EXEC),
        # Its own limits, to read only.
        "prlimit64": [
            *_all_zero((_low(2), _high(2))),
            _load(_low(0)),
            _equal(0, 2, 0),
            _equal(pid, 1, 0),
            _answer(ERRNO | EPERM),
            _answer(ALLOW),
        ],
    }


_NUMBER, _ARCH = 0, 4


def _low(argument: int) -> int:
    """Return the offset of an argument's lower 32 bits (both architectures are little-endian)."""
    return 16 + 8 * argument


def _high(argument: int) -> int:
    return _low(argument) + 4


def _one_of(argument: int, values: tuple[int, ...]) -> list[bytes]:
    compared = [_equal(value, len(values) - place, 0) for place, value in enumerate(values)]
    return [_load(_low(argument)), *compared, _answer(ERRNO | EPERM), _answer(ALLOW)]


def _without(argument: int, bits: int) -> list[bytes]:
    return [_load(_low(argument)), _any_bit(bits, 0, 1), _answer(ERRNO | EPERM), _answer(ALLOW)]


def _all_zero(offsets: tuple[int, ...]) -> list[bytes]:
    """Refuse the call unless all these words are zero; what follows looks at the rest."""
    lines = []
    for offset in offsets:
        lines += [_load(offset), _equal(0, 1, 0), _answer(ERRNO | EPERM)]
    return lines


def _load(offset: int) -> bytes:
    return struct.pack("=HBBI", 0x20, 0, 0, offset)


def _jump(code: int) -> Callable[[int, int, int], bytes]:
    def line(value: int, then: int, otherwise: int) -> bytes:
        return struct.pack("=HBBI", code, then, otherwise, value)

    return line


_equal, _at_least, _any_bit = _jump(0x15), _jump(0x35), _jump(0x45)


def _answer(value: int) -> bytes:
    return struct.pack("=HBBI", 0x06, 0, 0, value)
