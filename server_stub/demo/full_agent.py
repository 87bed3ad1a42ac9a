"""The full agent of the demonstration: the program as it runs on a person's computer.

Agent and worker have their own processes, and the demonstration reaches them over the local
channel. After a yes the agent learns from a share of the demonstration's rows and, as benign files,
from the real Windows programs in this Python environment.
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

from agent.config.device_limits import mark_demo
from agent.consent.gate import DEMO_SURFACE
from agent.errors import AegisError
from agent.ipc.client import Channel, NoAgentError
from agent.ipc.places import socket_of
from agent.paths import Home
from agent.privacy.policy import DeviceLimits
from server_stub.demo.processes import ManagedProcess
from server_stub.simulation.data import Share

START_S = 60.0
POLL_S = 0.1
RETRY_S = 1.0
"""An agent that has not sent an update is asked again after this time: it may have been too early
for the round."""
TRAINING = "training"
LONG_START_S = 15.0
"""A worker takes a few seconds to start. With more, another training holds this computer's only
slot (agent.supervisor.machine_slot), for example that of another demonstration."""
MAX_FILES = 200
PROGRAM_ENDINGS = (".exe", ".dll", ".pyd")
FULL_SPEED = {"cpu.share_in_use": 100, "cpu.share_idle": 100, "busy.share": 100}
"""Settings for an agent that somebody watches. By default it yields to other programs, and here
those are the rest of the demonstration."""

Ask = Callable[[dict[str, Any]], bool]
"""Shows a notice and returns whether the person said yes."""


@dataclass(frozen=True)
class Learnt:
    """The training rows of the full agent, by origin."""

    generated: int
    real_files: int


class FullAgent:
    """`aegis run` in a home that the demonstration made.

    A context manager: leaving ends its processes.
    """

    def __init__(
        self,
        folder: Path,
        environ: Mapping[str, str] = os.environ,
        *,
        limits: DeviceLimits | None = None,
    ) -> None:
        """`limits`: on groups, below the product's; its status then shows them.

        Raises OperatorActionError with the error of `aegis run`.
        """
        self._home = Home(folder / "agent")
        self._home.prepare()
        mark_demo(self._home, limits)
        environment = {
            **environ,
            "AEGIS_HOME": str(self._home.root),
            "PYTHONWARNINGS": "ignore",
        }
        self._share_file = folder / "share.npz"
        self._process = ManagedProcess(
            "The agent",
            [sys.executable, "-P", "-m", "agent", "run"],
            environment,
            folder / "agent.log",
        )
        try:
            self._channel = self._connect()
        except BaseException:  # also Ctrl-C: the caller has no object to close yet
            self._process.end()
            raise

    def join(self, invitation: str) -> None:
        """Store an invitation and allow the use of a whole core. No server is contacted yet."""
        self._channel.call("enroll", {"invitation": invitation})
        for key, value in FULL_SPEED.items():
            # Where a policy of this machine forbids it, the demonstration only takes longer.
            with contextlib.suppress(AegisError):
                self._channel.call("settings.set", {"key": key, "value": value})

    def decide(self, ask: Ask | None) -> bool:
        """Put the question, and return whether the answer was yes. Without `ask` a yes is
        simulated.
        """
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
        """Add rows and real files (as benign) to its training data.

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
        """Send one update. Returns "", or the reason why none was sent when `until()` ended it.

        `sent_before`: the updates that it had sent before this round.
        """
        return await send_one_update(self._channel.call, sent_before, until)

    def status(self) -> dict[str, Any]:
        return self._channel.call("status", {})

    def ledger(self) -> dict[str, Any]:
        """The answer of `aegis ledger --verify --json` for it."""
        return self._channel.call("ledger", {"verify": True})

    def rho_units(self) -> tuple[int, int]:
        """What its ledger charged in units of ρ, and what its own noise alone would have cost."""
        charges = self._channel.call("ledger", {})["charges"]
        return (
            sum(charge["rho_units"] for charge in charges),
            sum(charge["rho_local_units"] for charge in charges),
        )

    def close(self) -> None:
        """End it. Calling it twice is fine."""
        self._channel.close()
        self._process.end()

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
                found.append(Channel(socket_of(self._home)))
            return bool(found)

        self._process.until(answers, START_S)
        return found[0]


def programs_here(prefix: Path | None = None) -> list[Path]:
    """The Windows programs in this Python environment: launchers of pip and setuptools, parts of
    wheels.
    """
    found = sorted(
        path
        for path in (prefix or Path(sys.prefix)).rglob("*")
        if path.suffix.lower() in PROGRAM_ENDINGS and path.is_file()
    )
    return found[:MAX_FILES]


async def send_one_update(
    call: Callable[[str, dict[str, Any]], dict[str, Any]],
    sent_before: int,
    until: Callable[[], bool],
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """What `FullAgent.take_part` does; `call` asks the agent, `clock` counts seconds."""
    asked, idle_since, idle_s = -RETRY_S, None, 0.0
    while True:
        status, now = call("status", {}), clock()
        if status["sent"]["count"] > sent_before:
            return ""
        # A training that reports no progress has not begun: the agent waits for its turn.
        if status["state"] == TRAINING and status["progress"] is None:
            idle_since = now if idle_since is None else idle_since
            idle_s = max(idle_s, now - idle_since)
        else:
            idle_since = None
        if until():
            return _obstacle(status, idle_s)
        if now - asked >= RETRY_S and not status["activity"]:
            call("run_now", {})
            asked = now
        await asyncio.sleep(POLL_S)


def _obstacle(status: dict[str, Any], idle_s: float) -> str:
    if idle_s > LONG_START_S:
        # The agent's own reason would be that the model changed meanwhile, which explains nothing.
        return (
            f"It waited {idle_s:.0f} s for its training to begin. A computer runs one training at a"
            " time, and another was probably under way."
        )
    reasons = status["reasons"]
    return str(reasons[0]["text"]) if reasons else "It was not ready in time."
