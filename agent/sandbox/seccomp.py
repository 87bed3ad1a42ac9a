"""Confines a process to a list of system calls (seccomp, Linux on x86-64 and aarch64)."""

import ctypes
import os
import platform

from agent.sandbox.system_calls import ARCHITECTURES, program

_PR_GET_SECCOMP, _PR_SET_SECCOMP, _MODE_FILTER = 21, 22, 2
_PR_SET_NO_NEW_PRIVS = 38


def is_offered() -> bool:
    """Whether the kernel has filters and this architecture a list."""
    libc = ctypes.CDLL(None, use_errno=True)
    return platform.machine() in ARCHITECTURES and libc.prctl(_PR_GET_SECCOMP, 0, 0, 0, 0) >= 0


def gain_nothing(libc: ctypes.CDLL) -> bool:
    """Give up all that a program with special rights could bring; both kinds of rules need it."""
    return bool(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)


def confine(*, writes: bool) -> bool:
    """Confine this thread and what it starts, for good. Whether it worked.

    Needs PR_SET_NO_NEW_PRIVS.
    """
    architecture = ARCHITECTURES.get(platform.machine())
    if architecture is None:
        return False
    lines = program(architecture, os.getpid(), writes=writes)
    buffer = ctypes.create_string_buffer(lines, len(lines))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    compiled = Program(len(lines) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(compiled), 0, 0) == 0)
