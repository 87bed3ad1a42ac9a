"""`make run` with a display: it asks by itself, nobody takes part before a "yes", and Ctrl-C leaves
nothing running.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.fakes.graphical_login import GraphicalLogin, needs_login
from tests.fakes.timeouts import CYCLE_TIMEOUT_S, TIMEOUT_S, until

pytestmark = [pytest.mark.system, needs_login]
ROOT = Path(__file__).parents[2]


def runs(pid):
    """Whether a process has not ended; a zombie has."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_the_desk_asks_runs_rounds_and_ends_with_ctrl_c(tmp_path):
    folder = tmp_path / "desk"
    with GraphicalLogin(tmp_path, home=folder / "home") as login:
        command = [sys.executable, "-m", "server_stub.demo.desktop", str(folder)]
        environ = {name: value for name, value in login.environ.items() if name != "AEGIS_HOME"}
        program = subprocess.Popen(
            command,
            env=environ,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            dialog = login.window("Help improve malware detection")
            assert login.status()["consent"]["state"] == "UNASKED"
            assert not list((folder / "devices").glob("*/identity.aead"))
            login.focus(dialog)
            login.keys("Tab", "space")
            status = login.until_status(
                lambda status: status["sent"]["count"] >= 1, "the first update", CYCLE_TIMEOUT_S
            )
            assert status["consent"]["state"] == "GRANTED"
            running = [
                program.pid,
                *login.agents(),
                *(child.pid for child in psutil.Process(program.pid).children(recursive=True)),
            ]
            started = time.monotonic()
            os.kill(program.pid, signal.SIGINT)
            output = program.communicate(timeout=TIMEOUT_S)[0]
            until(lambda: not any(map(runs, running)), what="the end of everything")
            print(f"gone after {time.monotonic() - started:.1f} s")
        finally:
            if program.poll() is None:
                program.kill()
                program.wait()
            program.stdout.close()
    assert program.returncode == 130
    assert output.splitlines()[-1] == "Everything has ended."


@pytest.mark.parametrize(
    ("view", "message"),
    [("window", "Qt cannot connect to a display"), ("cinema", "VIEW must be window or terminal")],
)
def test_without_a_display_a_window_is_refused_in_one_line(view, message):
    environ = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DISPLAY", "WAYLAND_DISPLAY")
    }
    command = ["sh", str(ROOT / "packaging" / "run.sh")]
    done = subprocess.run(
        command,
        env={**environ, "VIEW": view},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
