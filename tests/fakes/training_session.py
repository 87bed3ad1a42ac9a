"""A desktop session whose agent trains for minutes: joined to a real aggregator, with many rows and
as many training steps as a task may demand.
"""

import json
import os
import time
from contextlib import closing, contextmanager

import numpy as np

from tests.fakes.aggregator import safetensors
from tests.fakes.desktop_session import DesktopSession
from tests.fakes.server_commands import INIT, end_server, server_command, start_server
from tests.fakes.timeouts import CYCLE_TIMEOUT_S, TIMEOUT_S, free_port, until

ROWS = 60_000
"""Enough to keep a whole core busy for a minute or two; after each update the next round opens."""
REPEAT_S = 3.0
"""How often a cycle is requested: no round may be open at first."""


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
        self._command(*INIT, "--model", str(folder / "start.safetensors"), *ports, *task)
        self._process = start_server(self.environ)

    def _command(self, *arguments):
        return server_command(self.environ, *arguments)

    def invitation(self):
        return json.loads(self._command("token", "create", "--json"))["invitation"]

    def close(self):
        end_server(self._process)


def run_now(session):
    """Request cycles until a worker trains; returns its pid."""
    requested = 0.0

    def worker():
        nonlocal requested
        if time.monotonic() - requested > REPEAT_S:
            requested = time.monotonic()
            with closing(session.channel()) as channel:
                channel.call("run_now", {}, TIMEOUT_S)
        return session.worker()

    return until(worker, CYCLE_TIMEOUT_S, "a worker that trains")


@contextmanager
def training_session(folder, *, share=100, count=ROWS, at_once=True):
    """A DesktopSession whose agent trains at `share` per cent of a core.

    Without `at_once` it starts when its scheduler decides to, after 2 to 4 minutes.
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
        run_now(session) if at_once else until(
            session.worker, CYCLE_TIMEOUT_S, "a cycle at its own time"
        )
        yield session
    finally:
        session.close()
        server.close()
