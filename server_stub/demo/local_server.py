"""A real aggregator on this machine: `aegis-server` in its own processes and folder, on loopback.

The demonstration, `make run` and the benchmarks use it.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from agent.errors import InternalError
from server_stub.config.home import READY_FILE, ServerHome
from server_stub.demo.processes import ManagedProcess, exit_error, slow
from server_stub.rounds.lifecycle import ENDED, State
from server_stub.storage.records import Model, Round
from server_stub.storage.store import Store

START_S = 60.0
COMMAND_S = 120.0
TRAINING_S = 600.0
"""For a base: seconds on a quiet machine."""
POLL_S = 0.02


class LocalServer:
    """Runs `aegis-server init` at once, and `aegis-server run` with `start`.

    A context manager: leaving ends its processes; the folder stays.
    """

    def __init__(
        self, folder: Path, options: Sequence[str] = (), environ: Mapping[str, str] = os.environ
    ) -> None:
        """`options` are passed to `aegis-server init`.

        Raises OperatorActionError with the error of `aegis-server`.
        """
        self._home = ServerHome(folder)
        self._environ = {**environ, "AEGIS_SERVER_HOME": str(folder), "PYTHONWARNINGS": "ignore"}
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._log = folder.with_name(f"{folder.name}.log")
        self._child: ManagedProcess | None = None
        port, operator_port = _free_ports()
        self.url, self.operator_url = (
            f"https://127.0.0.1:{port}",
            f"http://127.0.0.1:{operator_port}",
        )
        ports = ("--host", "127.0.0.1", "--port", str(port), "--operator-port", str(operator_port))
        self.command("init", *ports, *options)
        # Reads the database beside the running aggregator: no port of it shows a round in full.
        self._store = Store(self._home.database_url)

    def start(self) -> "LocalServer":
        """Start serving, which opens the first round.

        Raises OperatorActionError with the error of `aegis-server`.
        """
        self._child = ManagedProcess(
            "The aggregator", [*_program(), "run"], self._environ, self._log
        )
        self._child.until((self._home.folder / READY_FILE).exists, START_S)
        return self

    def command(self, *words: str) -> dict[str, Any]:
        """The answer of an `aegis-server` command.

        Raises OperatorActionError with its error.
        """
        return run_command(words, self._environ)

    def invitation(self, uses: int) -> str:
        """An invitation for this many devices."""
        return str(
            self.command("token", "create", "--uses", str(uses), "--server", self.url)["invitation"]
        )

    def model(self) -> Model:
        """The newest model."""
        model = self._store.models.newest()
        if model is None:
            raise InternalError("NO_MODEL", "The aggregator has no model.")
        return model

    def round(self, round_id: int) -> Round | None:
        """A round as the aggregator's database has it now."""
        return self._store.rounds.get(round_id)

    def newest_round(self) -> Round | None:
        """The newest round, if there is one.

        Raises OperatorActionError with the aggregator's error when it has ended.
        """
        if self._child is not None and not self._child.is_running:
            raise self._child.failure()
        return self._store.rounds.newest()

    async def open_round(self, seconds: float = START_S) -> Round:
        """Wait for an open round.

        Raises OperatorActionError, and InternalError ROUND_STUCK when none opens.
        """

        def poll() -> Round | None:
            current = self.newest_round()
            return current if current is not None and current.state is State.OPEN else None

        return await _until(poll, seconds)

    async def finished(self, round_id: int, seconds: float) -> Round:
        """Wait for the end of a round.

        Raises OperatorActionError, and InternalError ROUND_STUCK when it does not.
        """

        def poll() -> Round | None:
            # `newest_round` also raises when the aggregator has ended: nothing would come then.
            newest, awaited = self.newest_round(), self._store.rounds.get(round_id)
            has_ended = awaited is not None and awaited.state in ENDED
            return awaited if newest is not None and has_ended else None

        return await _until(poll, seconds)

    def close(self) -> None:
        """End the aggregator's processes. Calling it twice is fine."""
        self._store.close()
        if self._child is not None:
            self._child.end()

    def __enter__(self) -> "LocalServer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def run_command(
    words: Sequence[str], environ: Mapping[str, str], seconds: float = COMMAND_S
) -> dict[str, Any]:
    """The answer of an `aegis-server` command.

    Raises OperatorActionError with its error, InternalError CHILD_SLOW.
    """
    try:
        done = subprocess.run(
            [*_program(), *words, "--json"],
            env=environ,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        asked = " ".join(("aegis-server", *words[:2]))
        raise slow(asked, seconds) from error
    if done.returncode:
        raise exit_error("aegis-server", done.stderr)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


async def _until(poll: Callable[[], Round | None], seconds: float) -> Round:
    ends = time.monotonic() + seconds
    while (found := poll()) is None:
        if time.monotonic() > ends:
            raise InternalError(
                "ROUND_STUCK",
                f"The round did not advance within {seconds:.0f} s.",
                "Try again on a quieter machine.",
            )
        await asyncio.sleep(POLL_S)
    return found


def _free_ports() -> tuple[int, int]:
    """Two loopback ports that are free now."""
    # Open at the same time, so that they differ. Another program may still take one before the
    # aggregator does; it then ends with the error PORT.
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        return int(one.getsockname()[1]), int(other.getsockname()[1])


def _program() -> list[str]:
    return [sys.executable, "-P", "-m", "server_stub.cli.main"]
