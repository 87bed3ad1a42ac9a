"""A laptop that trains for minutes: joined to a real aggregator, with many rows and the most
training passes that a task may ask for.
"""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing, contextmanager

import numpy as np

from tests.fakes.aggregator import safetensors
from tests.fakes.desktop_session import DesktopSession
from tests.fakes.timeouts import CYCLE_TIMEOUT_S, TIMEOUT_S, free_port, until

ROWS = 60_000
"""So many keep a whole core busy for a minute or two; when the update is sent the next round
opens."""
ASK_AGAIN_S = 3.0
"""The round may not have been open yet."""


class Aggregator:
    """`aegis-server run` in a process of its own, mode local."""

    def __init__(self, folder):
        self.environ = {**os.environ, "AEGIS_SERVER_HOME": str(folder / "server")}
        (folder / "start.safetensors").write_bytes(safetensors([0.0] * 116))
        ports = (
            "--host",
            "127.0.0.1",
            "--port",
            str(free_port()),
            "--operator-port",
            str(free_port()),
        )
        task = (
            "--mode",
            "local",
            "--train-steps",
            "1000",
            "--min-rows",
            "4",
            "--rounds-target",
            "1",
            "--rounds-planned",
            "100",
        )
        self._command("init", "--model", str(folder / "start.safetensors"), *ports, *task)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "server_stub.cli.main", "run"],
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for line in self._process.stdout:
            if "is ready" in line:
                break

    def _command(self, *words):
        command = [sys.executable, "-m", "server_stub.cli.main", *words]
        return subprocess.run(
            command,
            env=self.environ,
            check=True,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        ).stdout

    def invitation(self):
        return json.loads(self._command("token", "create", "--json"))["invitation"]

    def close(self):
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(TIMEOUT_S)
        self._process.stdout.close()


def run_now(session):
    """Ask for a pass, again and again, until a worker trains: the pid of that."""
    asked = 0.0

    def worker():
        nonlocal asked
        if time.monotonic() - asked > ASK_AGAIN_S:
            asked = time.monotonic()
            with closing(session.channel()) as channel:
                channel.call("run_now", {}, TIMEOUT_S)
        return session.worker()

    return until(worker, CYCLE_TIMEOUT_S, "a worker that trains")


@contextmanager
def training_laptop(folder, *, share=100, count=ROWS, asked=True):
    """A Laptop whose agent trains, at `share` per cent of a core; not `asked`: when its scheduler
    thinks it is time (2 to 4 min).
    """
    server = Aggregator(folder)
    session = DesktopSession(folder, share=share)
    try:
        session.aegis("enroll", server.invitation())
        session.grant()
        rows = np.random.default_rng(1).integers(0, 2, (count, 29))
        np.savez(folder / "rows.npz", X=rows, y=np.arange(count) % 2)
        session.aegis("samples", "import", str(folder / "rows.npz"))
        session.start()
        run_now(session) if asked else until(
            session.worker, CYCLE_TIMEOUT_S, "a pass at its own time"
        )
        yield session
    finally:
        session.close()
        server.close()
