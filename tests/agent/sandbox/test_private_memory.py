"""A process that holds keys is closed to other programs."""

import subprocess
import sys
from pathlib import Path

import pytest

from agent.sandbox import private_memory
from tests.fakes.ordinary_user import OrdinaryUser
from tests.fakes.timeouts import TIMEOUT_S

ROOT = Path(__file__).parents[3]
IMPORT = "from agent.sandbox.private_memory import is_private, keep_private\n"
linux = pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_DUMPABLE is Linux's")

PEEKED_AT = """
import sys
from agent.sandbox.private_memory import keep_private
if sys.argv[1] == "private":
    keep_private()
print("ready", flush=True)
sys.stdin.read()
"""
STRANGER = """
import subprocess, sys, psutil
for mode in ("open", "private"):
    command = [sys.executable, "-c", sys.argv[1], mode]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        try:
            open(f"/proc/{other.pid}/mem").close()
            print(mode, "read")
        except PermissionError:
            print(mode, "refused")
        process = psutil.Process(other.pid)
        assert process.memory_info().rss and process.create_time() and process.status()
        other.stdin.close()
"""


def run(program):
    done = subprocess.run(
        [sys.executable, "-c", IMPORT + program],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    return done.stdout.split()


@linux
def test_p12_a_private_process_leaves_no_core_and_says_so():
    program = (
        "import resource\n"
        "print(is_private(), keep_private(), is_private())\n"
        "print(*resource.getrlimit(resource.RLIMIT_CORE))"
    )
    assert run(program) == ["False", "True", "True", "0", "0"]


@linux
def test_a_program_that_it_starts_is_an_ordinary_one():
    program = (
        "import subprocess, sys\n"
        "keep_private()\n"
        f"subprocess.run([sys.executable, '-c', {IMPORT + 'print(is_private())'!r}])"
    )
    assert run(program) == ["False"]


def test_another_system_does_not_claim_it(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not private_memory.is_private()


@linux
@pytest.mark.system
def test_p12_another_program_of_the_same_user_reads_only_an_open_process():
    user = OrdinaryUser()
    try:
        done = user.run(
            sys.executable,
            "-c",
            STRANGER,
            PEEKED_AT,
            environ={"PYTHONPATH": str(ROOT)},
            timeout=TIMEOUT_S,
        )
    finally:
        user.remove()
    assert done.stdout.split() == ["open", "read", "private", "refused"], done.stderr
