"""Confines a worker on Windows by a restricted token and a job object.

The first process of a worker starts the program anew with less: a token without privileges that may
write only where its folder lets it, in a job that allows no other process and no window, and that
ends with its maker. Windows has no equivalent here for "named files only" and "no network".

Written from the documentation; it has not been verified on Windows.
"""

import ctypes
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

CONFINED = "confined"
"""The last argument of the process that runs inside."""

_DISABLE_MAX_PRIVILEGE, _WRITE_RESTRICTED = 0x1, 0x8
_TOKEN_NEEDS = 0x0002 | 0x0001 | 0x0008
"""TOKEN_DUPLICATE, TOKEN_ASSIGN_PRIMARY, TOKEN_QUERY."""
_RESTRICTED_SID = "S-1-5-12"
_CREATE_SUSPENDED, _CREATE_UNICODE_ENVIRONMENT = 0x4, 0x400
_USE_STD_HANDLES = 0x100
_LIMIT_ACTIVE_PROCESS, _DIE_ON_EXCEPTION, _KILL_ON_CLOSE = 0x8, 0x400, 0x2000
_EXTENDED_LIMITS, _UI_RESTRICTIONS = 9, 4
_ALL_UI = 0xFF
"""Handles, clipboard, system and display settings, atoms, desktops, logging off."""
_INFINITE = 0xFFFFFFFF


class _BasicLimits(ctypes.Structure):
    _fields_ = [
        ("process_time", ctypes.c_int64),
        ("job_time", ctypes.c_int64),
        ("flags", ctypes.c_uint32),
        ("least_working_set", ctypes.c_size_t),
        ("most_working_set", ctypes.c_size_t),
        ("processes", ctypes.c_uint32),
        ("affinity", ctypes.c_size_t),
        ("priority", ctypes.c_uint32),
        ("scheduling", ctypes.c_uint32),
    ]


class _Limits(ctypes.Structure):
    _fields_ = [
        ("basic", _BasicLimits),
        ("io", ctypes.c_uint64 * 6),
        ("process_memory", ctypes.c_size_t),
        ("job_memory", ctypes.c_size_t),
        ("peak_process_memory", ctypes.c_size_t),
        ("peak_job_memory", ctypes.c_size_t),
    ]


class _SidAndAttributes(ctypes.Structure):
    _fields_ = [("sid", ctypes.c_void_p), ("attributes", ctypes.c_uint32)]


class _StartupInfo(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("reserved", ctypes.c_wchar_p),
        ("desktop", ctypes.c_wchar_p),
        ("title", ctypes.c_wchar_p),
        ("place", ctypes.c_uint32 * 7),
        ("flags", ctypes.c_uint32),
        ("show", ctypes.c_uint16),
        ("reserved_size", ctypes.c_uint16),
        ("reserved_bytes", ctypes.c_void_p),
        ("standard", ctypes.c_void_p * 3),
    ]


class _ProcessInformation(ctypes.Structure):
    _fields_ = [
        ("process", ctypes.c_void_p),
        ("thread", ctypes.c_void_p),
        ("process_id", ctypes.c_uint32),
        ("thread_id", ctypes.c_uint32),
    ]


STRUCTURES = {
    "JOBOBJECT_EXTENDED_LIMIT_INFORMATION": _Limits,
    "STARTUPINFOW": _StartupInfo,
    "PROCESS_INFORMATION": _ProcessInformation,
    "SID_AND_ATTRIBUTES": _SidAndAttributes,
}
"""By their names in Windows."""


def run_confined(arguments: Sequence[str]) -> int:
    """Run this worker's program again inside, to its end, and return its exit code.

    Raises OSError when a part of the sandbox cannot be made: then nothing runs.
    """
    _open_current_folder()
    kernel, security = _libraries()
    token, job = _restricted_token(kernel, security), _job(kernel)
    # A virtual environment's python.exe only starts the real one, which would be a second process.
    python = getattr(sys, "_base_executable", sys.executable)
    options = sys.orig_argv[1 : len(sys.orig_argv) - len(arguments)]
    line = subprocess.list2cmdline([python, *options, *arguments, CONFINED])
    names = {**os.environ, "__PYVENV_LAUNCHER__": sys.executable}
    block = "".join(f"{name}={value}\0" for name, value in names.items()) + "\0"
    startup, started = _StartupInfo(), _ProcessInformation()
    startup.size, startup.flags = ctypes.sizeof(startup), _USE_STD_HANDLES
    startup.standard = (ctypes.c_void_p * 3)(
        *(kernel.GetStdHandle(ctypes.c_uint32(2**32 - number)) for number in (10, 11, 12))
    )
    _check(
        security.CreateProcessAsUserW(
            token,
            python,
            ctypes.create_unicode_buffer(line),
            None,
            None,
            True,
            _CREATE_SUSPENDED | _CREATE_UNICODE_ENVIRONMENT,
            ctypes.create_unicode_buffer(block),
            None,
            ctypes.byref(startup),
            ctypes.byref(started),
        )
    )
    # The job before the first instruction: it must never run outside.
    if not kernel.AssignProcessToJobObject(job, started.process):
        kernel.TerminateProcess(started.process, 1)
        raise _last_error()
    kernel.ResumeThread(started.thread)
    kernel.WaitForSingleObject(started.process, _INFINITE)
    code = ctypes.c_uint32()
    kernel.GetExitCodeProcess(started.process, ctypes.byref(code))
    return int(code.value)


def _libraries() -> tuple[Any, Any]:
    """kernel32 and advapi32, whose handles are pointers."""
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined]
    security = ctypes.WinDLL("advapi32", use_last_error=True)  # type: ignore[attr-defined]
    for function in (kernel.GetCurrentProcess, kernel.GetStdHandle, kernel.CreateJobObjectW):
        function.restype = ctypes.c_void_p
    for function in (
        kernel.AssignProcessToJobObject,
        kernel.TerminateProcess,
        kernel.ResumeThread,
        kernel.WaitForSingleObject,
        kernel.GetExitCodeProcess,
        kernel.SetInformationJobObject,
    ):
        function.argtypes = [ctypes.c_void_p, *_TYPES.get(function.__name__, [])]
    return kernel, security


_TYPES: dict[str, list[Any]] = {
    "AssignProcessToJobObject": [ctypes.c_void_p],
    "TerminateProcess": [ctypes.c_uint32],
    "WaitForSingleObject": [ctypes.c_uint32],
    "GetExitCodeProcess": [ctypes.c_void_p],
    "SetInformationJobObject": [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32],
}


def _restricted_token(kernel: Any, security: Any) -> ctypes.c_void_p:
    """Return this process's token without privileges, which writes only where S-1-5-12 may."""
    own, restricted, sid = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
    process = ctypes.c_void_p(kernel.GetCurrentProcess())
    _check(security.OpenProcessToken(process, _TOKEN_NEEDS, ctypes.byref(own)))
    _check(security.ConvertStringSidToSidW(_RESTRICTED_SID, ctypes.byref(sid)))
    only = _SidAndAttributes(sid, 0)
    _check(
        security.CreateRestrictedToken(
            own,
            _DISABLE_MAX_PRIVILEGE | _WRITE_RESTRICTED,
            0,
            None,
            0,
            None,
            1,
            ctypes.byref(only),
            ctypes.byref(restricted),
        )
    )
    return restricted


def _job(kernel: Any) -> ctypes.c_void_p:
    """Return a job for one process without children and windows, which ends with this process."""
    job = ctypes.c_void_p(kernel.CreateJobObjectW(None, None))
    if not job:
        raise _last_error()
    limits = _Limits()
    limits.basic.flags = _LIMIT_ACTIVE_PROCESS | _DIE_ON_EXCEPTION | _KILL_ON_CLOSE
    limits.basic.processes = 1
    size = ctypes.sizeof(limits)
    _check(kernel.SetInformationJobObject(job, _EXTENDED_LIMITS, ctypes.byref(limits), size))
    windows = ctypes.c_uint32(_ALL_UI)
    _check(kernel.SetInformationJobObject(job, _UI_RESTRICTIONS, ctypes.byref(windows), 4))
    return job


def _open_current_folder() -> None:
    """Let S-1-5-12 write in the current folder, the scratch folder of the agent."""
    folder = os.getcwd()  # noqa: PTH109 - paths stay text
    right = f"*{_RESTRICTED_SID}:(OI)(CI)M"
    icacls = os.path.join(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "icacls.exe")  # noqa: PTH118
    subprocess.run(
        [icacls, folder, "/grant", right, "/q"],
        check=True,
        stdout=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )


def _check(succeeded: int) -> None:
    if not succeeded:
        raise _last_error()


def _last_error() -> OSError:
    return ctypes.WinError(ctypes.get_last_error())  # type: ignore[attr-defined,no-any-return]
