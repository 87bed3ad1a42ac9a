"""What the kernel forbids a worker: network, children, unbounded memory and files, life without its
parent.

The worker calls `apply` before it reads anything. Rules, each with what it rests on:
1. It dies with its parent (PR_SET_PDEATHSIG, then a check that the parent is still the same).
2. Memory, file size and core dumps are bounded (setrlimit).
3. No sockets, no new processes, no other program, no debugger, no signals to others (a seccomp
   filter, x86-64 and aarch64; all threads inherit it and none can remove it). Where there is no
   seccomp: an empty network namespace of its own.
The agent sets the priority from outside (agent.sandbox.priority). `agent.sandbox.probe` tries to
break each rule, and `aegis doctor` shows which ones hold. Outside Linux only setrlimit applies; it
has not been verified there.
"""

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 1, 38, 22
_SECCOMP_MODE_FILTER = 2
_SIGKILL = 9
_CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_THREAD = 0x10000000, 0x40000000, 0x00010000
_EPERM, _ENOSYS = 1, 38
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000


@dataclass(frozen=True)
class _Calls:
    """Numbers of system calls (asm/unistd_64.h; asm-generic/unistd.h)."""

    arch: int
    clone: int
    prctl: int
    denied: tuple[int, ...]
    clone3: int = 435


_CALLS = {
    "x86_64": _Calls(
        arch=0xC000003E, clone=56, prctl=157,
        # socket socketpair connect bind listen accept accept4 · fork vfork execve execveat · ptrace
        # process_vm_readv _writev io_uring_setup setsid setpgid kill tkill pidfd_send_signal ·
        # unshare setns bpf
        denied=(
            41, 53, 42, 49, 50, 43, 288, 57, 58, 59, 322,
            101, 310, 311, 425, 112, 109, 62, 200, 424, 272, 308, 321,
        ),
    ),
    "aarch64": _Calls(
        arch=0xC00000B7, clone=220, prctl=167,
        denied=(
            198, 199, 203, 200, 201, 202, 242, 221, 281, 117,
            270, 271, 425, 157, 154, 129, 130, 424, 97, 268, 280,
        ),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class SandboxRules:
    """The parameters of the rules."""

    parent_pid: int
    memory_bytes: int
    """Address space; leave headroom above the governor's cap on resident memory."""
    file_bytes: int
    """The largest file that the process may write."""


@dataclass(frozen=True)
class InForce:
    """The rules in force; this system could not set up those that are missing."""

    names: tuple[str, ...]

    def __contains__(self, name: str) -> bool:
        return name in self.names


def environment(base: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a worker: nothing personal, and one thread per numerical
    library, because their idle threads spin.
    """
    threads = (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
    )
    kept = {
        name: base[name]
        for name in ("PATH", "PYTHONPATH", "SYSTEMROOT", "TMPDIR", "LD_LIBRARY_PATH")
        if name in base
    }
    return {
        **kept,
        **dict.fromkeys(threads, "1"),
        "LC_ALL": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def apply(rules: SandboxRules) -> InForce:
    """Apply to this process every rule that the system offers.

    Ends the process when its parent has died already.
    """
    names = _limits(rules)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        names += _dies_with_parent(libc, rules.parent_pid)
        calls = _CALLS.get(platform.machine())
        if calls is not None and _filtered(libc, calls):
            names += ["no network", "no children"]
        elif libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0:
            names.append("no network")
    return InForce(tuple(names))


def _limits(rules: SandboxRules) -> list[str]:
    """Bound this process itself. psutil sets limits on Linux only, and loads in 20 ms."""
    try:
        import resource
    except ImportError:  # Windows
        return []
    names = []
    for name, kind, bound in (
        ("memory", resource.RLIMIT_AS, rules.memory_bytes),
        ("file size", resource.RLIMIT_FSIZE, rules.file_bytes),
        ("no core dump", resource.RLIMIT_CORE, 0),
    ):
        with suppress(OSError, ValueError):
            resource.setrlimit(kind, (bound, bound))
            names.append(name)
    return names


def _dies_with_parent(libc: ctypes.CDLL, parent_pid: int) -> list[str]:
    if libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0) != 0:
        return []
    if os.getppid() != parent_pid:  # the parent died before the call
        os._exit(1)
    return ["dies with its parent"]


def _filtered(libc: ctypes.CDLL, calls: _Calls) -> bool:
    program = _program(calls)
    buffer = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = [
            ("length", ctypes.c_ushort),
            ("filter", ctypes.c_void_p),
        ]

    compiled = Program(len(program) // 8, ctypes.addressof(buffer))
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return bool(
        libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(compiled), 0, 0) == 0
    )


def _program(calls: _Calls) -> bytes:
    """Return the filter in classic BPF (linux/filter.h): load the call's number, compare, answer
    EPERM; allow everything else.

    clone3 answers ENOSYS, so that libc falls back to clone. The filter can check clone's flags: it
    allows threads and refuses processes.
    """
    number, arch, argument = 0, 4, 16
    lines = [
        _load(arch),
        _equal(calls.arch, 1, 0),
        _answer(_ERRNO | _EPERM),  # a call of another architecture
        _load(number),
        *(
            [_at_least(0x40000000, 0, 1), _answer(_ERRNO | _EPERM)]
            if calls is _CALLS["x86_64"]
            else []
        ),  # x32 calls on x86-64
        _equal(calls.clone3, 0, 1),
        _answer(_ERRNO | _ENOSYS),
    ]
    for call in calls.denied:
        lines += [_equal(call, 0, 1), _answer(_ERRNO | _EPERM)]
    lines += [
        _equal(calls.clone, 0, 4),
        _load(argument),
        _any_bit(_CLONE_THREAD, 1, 0),
        _answer(_ERRNO | _EPERM),
        _answer(_ALLOW),
    ]
    lines += [
        _equal(calls.prctl, 0, 3),
        _load(argument),
        _equal(_PR_SET_PDEATHSIG, 0, 1),
        _answer(_ERRNO | _EPERM),
    ]
    lines.append(_answer(_ALLOW))
    return b"".join(lines)


def _load(offset: int) -> bytes:
    return struct.pack("=HBBI", 0x20, 0, 0, offset)


def _equal(value: int, then: int, otherwise: int) -> bytes:
    return struct.pack("=HBBI", 0x15, then, otherwise, value)


def _at_least(value: int, then: int, otherwise: int) -> bytes:
    return struct.pack("=HBBI", 0x35, then, otherwise, value)


def _any_bit(value: int, then: int, otherwise: int) -> bytes:
    return struct.pack("=HBBI", 0x45, then, otherwise, value)


def _answer(value: int) -> bytes:
    return struct.pack("=HBBI", 0x06, 0, 0, value)
