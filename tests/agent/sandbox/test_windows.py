"""The steps that confine a worker on Windows, against a recording in place of its libraries.

Whether Windows does what they say is unverified.
"""

import ctypes
import subprocess
import sys

import pytest

from agent.sandbox import windows


class Library:
    """Records each call and answers 1; a name in `failing` answers 0."""

    def __init__(self, calls, failing):
        self._calls, self._failing, self._functions = calls, failing, {}

    def __getattr__(self, name):
        return self._functions.setdefault(name, self._function(name))

    def _function(self, name):
        def function(*arguments):
            self._calls.append((name, arguments))
            return int(name not in self._failing)

        function.__name__ = name
        return function


@pytest.fixture
def made(monkeypatch):
    """The calls so far, and the set of calls that fail."""
    calls, failing = [], set()
    monkeypatch.setattr(ctypes, "WinDLL", lambda *_, **__: Library(calls, failing), raising=False)
    monkeypatch.setattr(ctypes, "WinError", lambda number: OSError(number, ""), raising=False)
    monkeypatch.setattr(ctypes, "get_last_error", lambda: 5, raising=False)
    monkeypatch.setattr(sys, "orig_argv", ["python", "-P", "-m", "agent.worker", "1", "2", "3"])
    monkeypatch.setattr(
        subprocess, "run", lambda words, **_: calls.append((words[0][-10:], tuple(words[1:])))
    )
    return calls, failing


def names(calls):
    return [name for name, _ in calls]


def test_the_program_starts_again_inside_and_never_runs_outside(made):
    calls, _ = made
    windows.run_confined(["1", "2", "3"])
    order = names(calls)
    started, joined, resumed = (
        order.index(name)
        for name in ("CreateProcessAsUserW", "AssignProcessToJobObject", "ResumeThread")
    )
    assert order.index("CreateRestrictedToken") < started < joined < resumed
    arguments = calls[started][1]
    assert arguments[2].value.endswith("-P -m agent.worker 1 2 3 confined")
    assert arguments[6] & 0x4, "it starts suspended"


def test_the_token_has_no_privileges_and_writes_in_scratch_only(made, tmp_path, monkeypatch):
    calls, _ = made
    monkeypatch.chdir(tmp_path)
    windows.run_confined(["1", "2", "3"])
    token = dict(calls)["CreateRestrictedToken"]
    assert (token[1], token[6]) == (0x1 | 0x8, 1)
    assert dict(calls)["icacls.exe"][:3] == (str(tmp_path), "/grant", "*S-1-5-12:(OI)(CI)M")


@pytest.mark.parametrize(
    "step",
    ["OpenProcessToken", "CreateRestrictedToken", "CreateJobObjectW", "CreateProcessAsUserW"],
)
def test_a_step_that_fails_starts_nothing(made, step):
    calls, failing = made
    failing.add(step)
    with pytest.raises(OSError, match="5"):
        windows.run_confined(["1", "2", "3"])
    assert "ResumeThread" not in names(calls)


def test_a_process_that_cannot_be_confined_is_ended(made):
    calls, failing = made
    failing.add("AssignProcessToJobObject")
    with pytest.raises(OSError, match="5"):
        windows.run_confined(["1", "2", "3"])
    assert names(calls)[-1] == "TerminateProcess"


@pytest.mark.skipif(ctypes.sizeof(ctypes.c_void_p) != 8, reason="sizes of 64-bit Windows")
def test_the_structures_have_the_sizes_of_windows():
    sizes = {name: ctypes.sizeof(kind) for name, kind in windows.STRUCTURES.items()}
    assert sizes == {
        "JOBOBJECT_EXTENDED_LIMIT_INFORMATION": 144,
        "STARTUPINFOW": 104,
        "PROCESS_INFORMATION": 24,
        "SID_AND_ATTRIBUTES": 16,
    }
