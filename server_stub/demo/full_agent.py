"""The demonstration's full agent: the program as on a person's computer, agent and worker in
processes of their own, reached over its local channel. It learns from a share of the
demonstration's rows and, as benign, from the real Windows programs that this Python environment
holds, after a yes.
"""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from agent.config.device_limits import mark
from agent.consent.gate import DEMO_SURFACE
from agent.errors import AegisError
from agent.ipc.client import Channel, NoAgentError, socket_path
from agent.paths import Home
from agent.privacy.policy import DeviceLimits
from server_stub.demo.processes import ManagedProcess
from server_stub.simulation.data import Share

START_S = 60.0
LOOK_S = 0.1
AGAIN_S = 1.0
"""An agent that has not sent yet is asked again after this time: it may have been too early for the
round."""
MAX_FILES = 200
PROGRAM_ENDINGS = (".exe", ".dll", ".pyd")
HASTE = {"cpu.share_in_use": 100, "cpu.share_idle": 100, "busy.share": 100}
"""Settings of an agent that somebody watches: a person's own gives way to whoever uses the
computer, and here that is the fleet."""

Ask = Callable[[dict[str, Any]], bool]
"""Shows a notice and says whether the person said yes."""


@dataclass(frozen=True)
class Learnt:
    """Training rows that the full agent holds."""

    generated: int
    real_files: int


class FullAgent:
    """`aegis run` on a home that the demonstration made.

    Use it with `with`; leaving ends its processes.
    """

    def __init__(
        self,
        folder: Path,
        runtime: Path,
        environ: Mapping[str, str] = os.environ,
        *,
        floor: DeviceLimits | None = None,
    ) -> None:
        """`runtime`: a folder for its socket, with a short name. `floor`: bounds on groups below
        the product's, which its status then says.

        Raises OperatorActionError with what `aegis run` says.
        """
        self._home = Home(folder / "agent")
        self._home.prepare()
        mark(self._home, floor)
        surroundings = {
            **environ,
            "AEGIS_HOME": str(self._home.root),
            "XDG_RUNTIME_DIR": str(runtime),
            "PYTHONWARNINGS": "ignore",
        }
        self._share_file = folder / "share.npz"
        self._socket = socket_path(self._home.root, surroundings)
        self._child = ManagedProcess(
            "The agent",
            [sys.executable, "-P", "-m", "agent", "run"],
            surroundings,
            folder / "agent.log",
        )
        try:
            self._channel = self._connect()
        except BaseException:
            self._child.end()
            raise

    def join(self, invitation: str) -> None:
        """Take an invitation, and let a whole core be used; nobody is contacted yet."""
        self._channel.call("enroll", {"invitation": invitation})
        for key, value in HASTE.items():
            with contextlib.suppress(
                AegisError
            ):  # a policy of this machine holds it lower: then it takes longer
                self._channel.call("settings.set", {"key": key, "value": value})

    def decide(self, ask: Ask | None) -> bool:
        """Ask the person; without one to ask, simulate a yes. Whether the answer was yes."""
        notice = self._channel.call("consent.show", {"locale": os.environ.get("LANG", "en")})
        decision = {name: notice[name] for name in ("notice_id", "text_sha256", "locale")}
        if ask is None:
            self._channel.call("consent.grant", {**decision, "surface": DEMO_SURFACE})
            return True
        if ask(notice):
            self._channel.call("consent.grant", {**decision, "surface": "cli"})
            return True
        self._channel.call("consent.refuse", {**decision, "surface": "cli"})
        return False

    def learn(self, share: Share, programs: list[Path]) -> Learnt:
        """Take in rows and real files (as benign).

        Raises UserActionError NO_CONSENT, DENIED_BY_POLICY.
        """
        np.savez(self._share_file, X=share.rows, y=share.labels)
        generated = int(
            self._channel.call("samples.import", {"path": str(self._share_file)})["added"]
        )
        files = 0
        if programs:
            files = int(
                self._channel.call(
                    "samples.add", {"paths": [str(path) for path in programs], "label": "benign"}
                )["added"]
            )
        return Learnt(generated, files)

    async def take_part(self, sent_before: int, until: Callable[[], bool]) -> str:
        """Send one update; "" when it was sent, else why not.

        `sent_before`: updates that it had sent so far. `until`: whether the round has ended
        meanwhile.
        """
        asked = 0.0
        while True:
            status = self.status()
            if status["sent"]["count"] > sent_before:
                return ""
            if until():
                return _why(status)
            if time.monotonic() - asked > AGAIN_S and not status["activity"]:
                self._channel.call("run_now", {})
                asked = time.monotonic()
            await asyncio.sleep(LOOK_S)

    def status(self) -> dict[str, Any]:
        return self._channel.call("status", {})

    def ledger(self) -> dict[str, Any]:
        """What `aegis ledger --verify --json` says of it."""
        return self._channel.call("ledger", {"verify": True})

    def close(self) -> None:
        """End it. Twice is fine."""
        self._channel.close()
        self._child.end()

    def __enter__(self) -> "FullAgent":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _connect(self) -> Channel:
        found: list[Channel] = []

        def answers() -> bool:
            with contextlib.suppress(NoAgentError):
                found.append(Channel(self._socket))
            return bool(found)

        self._child.until(answers, START_S)
        return found[0]


def programs_here(prefix: Path | None = None) -> list[Path]:
    """Windows programs that this Python environment holds: launchers of pip and setuptools, parts
    of wheels.
    """
    found = sorted(
        path
        for path in (prefix or Path(sys.prefix)).rglob("*")
        if path.suffix.lower() in PROGRAM_ENDINGS and path.is_file()
    )
    return found[:MAX_FILES]


def _why(status: dict[str, Any]) -> str:
    reasons = status["reasons"]
    return str(reasons[0]["text"]) if reasons else "it was not done in time"
