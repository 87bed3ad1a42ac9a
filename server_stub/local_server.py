"""A real aggregator on this machine: `aegis-server` in processes of its own, on loopback, in a folder of its own. For the demonstration,
`make run` and benchmarks.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from agent.errors import InternalError
from server_stub.children import Child, last_words
from server_stub.home import READY_FILE, Home
from server_stub.rounds import State
from server_stub.store import Model, Round, Store

START_S = 60.0
COMMAND_S = 120.0
LOOK_S = 0.02


class LocalServer:
    """`aegis-server init` and `run`, any free ports. Use it with `with`: leaving ends its processes; the folder stays."""

    def __init__(self, folder: Path, options: Sequence[str] = (), environ: Mapping[str, str] = os.environ) -> None:
        """`options` go to `aegis-server init`. Raises NeedsOperator with what `aegis-server` says."""
        self._home = Home(folder)
        self._environ = {**environ, "AEGIS_SERVER_HOME": str(folder), "PYTHONWARNINGS": "ignore"}
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._log = folder.with_name(f"{folder.name}.log")
        ports = ("--host", "127.0.0.1", "--port", "0", "--operator-port", "0")
        self.command("init", *ports, *options)
        self._child = Child("The aggregator", [*_program(), "run"], self._environ, self._log)
        try:
            self._child.until((folder / READY_FILE).exists, START_S)
            ready = json.loads((folder / READY_FILE).read_bytes())
            self.url, self.operator_url = str(ready["url"]), str(ready["operator_url"])
            self._store = Store(self._home.database_url)
        except BaseException:
            self._child.end()
            raise

    def command(self, *words: str) -> dict[str, Any]:
        """The answer of an `aegis-server` command. Raises NeedsOperator with what it says."""
        done = subprocess.run(
            [*_program(), *words, "--json"], env=self._environ, capture_output=True, text=True, timeout=COMMAND_S, check=False
        )
        if done.returncode:
            raise last_words("aegis-server", done.stderr)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def invitation(self, uses: int) -> str:
        """An invitation that so many devices may take."""
        return str(self.command("token", "create", "--uses", str(uses), "--server", self.url)["invitation"])

    def model(self) -> Model:
        """The newest model."""
        model = self._store.model()
        if model is None:
            raise InternalError("NO_MODEL", "The aggregator has no model.")
        return model

    def round(self, round_id: int) -> Round | None:
        """A round as the aggregator's database has it now."""
        return self._store.round(round_id)

    def open_round(self, seconds: float = START_S) -> Round:
        """The round that is open, once one is. Raises NeedsOperator or InternalError when none opens."""
        held = self._until(lambda current: current is not None and current.state is State.OPEN, seconds)
        assert held is not None  # noqa: S101  (just asked)
        return held

    def finished(self, round_id: int, seconds: float) -> Round:
        """A round, once it has ended. Raises NeedsOperator or InternalError when it does not."""
        ended = (State.DONE, State.ABANDONED)
        self._until(lambda current: current is not None and (current.round_id > round_id or current.state in ended), seconds)
        held = self._store.round(round_id)
        assert held is not None  # noqa: S101  (rounds are not removed)
        return held

    def close(self) -> None:
        """End the aggregator's processes. Twice is fine."""
        self._store.close()
        self._child.end()

    def __enter__(self) -> "LocalServer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _until(self, holds: Any, seconds: float) -> Round | None:
        waiting = threading.Event()
        for _ in range(int(seconds / LOOK_S)):
            current = self._store.newest_round()
            if holds(current):
                return current
            if not self._child.is_running:
                raise self._child.failure()
            waiting.wait(LOOK_S)
        raise InternalError("ROUND_STUCK", f"The round did not go on within {seconds:.0f} s.", "Try again on a quieter machine.")


def _program() -> list[str]:
    return [sys.executable, "-m", "server_stub.cli"]
