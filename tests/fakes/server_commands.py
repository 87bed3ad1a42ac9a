"""`aegis-server` as its operator types it, in the environment that names its home."""

import signal
import subprocess
import sys

from tests.fakes.timeouts import TIMEOUT_S

COMMAND = (sys.executable, "-m", "server_stub.cli.main")
INIT = ("init", "--operator-name", "Example", "--contact", "a@example.org")
"""Creates a server, with what every operator must say."""


def server_command(environ, *words):
    """Run one command; return what it prints."""
    done = subprocess.run(
        (*COMMAND, *words),
        env=environ,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def start_server(environ, command=(*COMMAND, "run")):
    """Start the aggregator and wait until it is ready."""
    process = subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert any("is ready" in line for line in process.stdout)
    return process


def end_server(process):
    """End it as an operator does."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.wait(TIMEOUT_S)
    process.stdout.close()
