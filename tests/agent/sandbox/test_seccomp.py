"""The filter is set for good, or the caller learns that it is not."""

import platform
import sys

import pytest

from agent.sandbox import seccomp
from tests.fakes.confined import run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")


def test_this_system_offers_it():
    assert seccomp.is_offered()


def test_an_architecture_without_a_list_is_not_confined(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert not seccomp.is_offered()
    assert not seccomp.confine(writes=False)


def test_a_confined_process_has_a_filter_and_no_way_back():
    program = (
        "print([line.split()[1] for line in status if line.startswith(('NoNewPrivs', 'Seccomp:'))],"
        "refused(lambda: syscall(317, 1, 0, 0)), libc.prctl(22, 2, 0))"
    )
    before = "status = open('/proc/self/status')\n"
    done = run(program, access="Access(read=('/proc/self/status',))")
    assert "NameError" in done.stderr
    done = run(before + program, access="Access(read=('/proc/self/status',))")
    assert done.stdout == "['1', '2'] True -1\n", done.stderr
