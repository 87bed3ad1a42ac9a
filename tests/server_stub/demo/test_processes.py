"""Processes end with whoever started them, and say why they ended."""

import os
import select
import signal
import subprocess
import sys

import pytest

from agent.errors import InternalError, OperatorActionError
from server_stub.demo.local_server import run_command
from server_stub.demo.processes import ManagedProcess, exit_error


def test_the_last_line_of_a_command_becomes_its_error():
    error = exit_error(
        "aegis-server",
        "2026 warning\nPORT: Port 1 cannot be listened on. Choose another with --port.\n",
    )
    assert (error.code, error.message) == (
        "PORT",
        "Port 1 cannot be listened on. Choose another with --port.",
    )
    assert exit_error("aegis", "aegis: NO_CONSENT: You said no.").code == "NO_CONSENT"


@pytest.mark.parametrize(
    "output",
    ["", "Traceback\nValueError: no", "no colon at all"],
    ids=["nothing", "traceback", "words"],
)
def test_any_other_output_means_that_it_ended_unexpectedly(output):
    assert exit_error("The aggregator", output).code == "CHILD_ENDED"


def test_a_command_that_takes_too_long_is_an_error_and_no_traceback():
    with pytest.raises(InternalError) as caught:
        run_command(("model", "list"), os.environ, 0.01)
    assert caught.value.code == "CHILD_SLOW"
    assert caught.value.message.startswith("aegis-server model list did not get ready")


def test_a_child_that_ends_before_it_is_ready_says_why(tmp_path):
    code = "import sys; print('PORT: taken.', file=sys.stderr); sys.exit(1)"
    with (
        ManagedProcess("It", [sys.executable, "-c", code], os.environ, tmp_path / "log") as process,
        pytest.raises(OperatorActionError, match="taken") as caught,
    ):
        process.until(lambda: False, 30)
    assert caught.value.code == "PORT"


def test_a_process_ends_with_its_block(tmp_path):
    with ManagedProcess(
        "It", [sys.executable, "-c", "import signal; signal.pause()"], os.environ, tmp_path / "log"
    ) as process:
        assert process.is_running
    assert not process.is_running


def test_a_child_does_not_outlive_a_killed_parent(tmp_path):
    code = f"""
import os, signal, sys
from pathlib import Path
from server_stub.demo.processes import ManagedProcess
log = Path({str(tmp_path / "log")!r})
code = "print('up', flush=True); import signal; signal.pause()"
process = ManagedProcess("It", [sys.executable, "-c", code], os.environ, log)
process.until(lambda: log.read_bytes() == b"up\\n", 30)
print(process.pid, flush=True)
signal.pause()
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    gone = os.pidfd_open(pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait(60)
    parent.stdout.close()
    assert select.select([gone], [], [], 60)[0]
    os.close(gone)


def test_a_signal_in_the_middle_of_a_start_is_not_lost(tmp_path):
    code = """
import os, signal, sys
from pathlib import Path
from server_stub.demo.processes import ManagedProcess

def interrupt(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGTERM, interrupt)
os.register_at_fork(after_in_parent=lambda: signal.raise_signal(signal.SIGTERM))
try:
    code = "import signal; signal.pause()"
    ManagedProcess("It", [sys.executable, "-c", code], os.environ, Path(sys.argv[1]))
except KeyboardInterrupt:
    print("interrupted", signal.getsignal(signal.SIGTERM) is interrupt)
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("no child is left")
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "log")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("interrupted True\nno child is left\n", "")
