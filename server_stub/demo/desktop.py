"""`make run` with a display: an aggregator and simulated neighbours on this machine, and the real
tray, window and agent in front of you.

1. Everything is made in one folder, anew each time; keys are in memory; nothing listens beyond
   loopback; nothing starts by itself later.
2. Nobody says yes for you: the question is asked in the window, and neighbours take part only once
   you have agreed.
3. After a yes your device gets generated rows and the Windows programs of this Python environment
   to learn from, and is asked for each round at once instead of every half hour. A pause, a limit
   and a withdrawal hold as always.
4. Quit in the icon's menu, Ctrl-C and SIGTERM end everything.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from agent.detector.model import LogisticModel, to_safetensors
from agent.detector.synthetic import generate
from agent.errors import AegisError, UserActionError
from agent.ipc.client import Channel, NoAgentError, socket_path
from agent.paths import Home
from agent.protocol.messages import Mode
from server_stub.demo.device_fleet import Fleet
from server_stub.demo.full_agent import programs_here
from server_stub.demo.local_server import LocalServer
from server_stub.demo.plan import GROUP_ROWS, ROWS_EACH, DemoPlan
from server_stub.demo.processes import ManagedProcess
from server_stub.simulation import data
from server_stub.simulation.data import Share

NEIGHBOURS = 7
ROWS = 3_000
LOOK_S = 1.0
CALL_S = 120.0
WAITING = "waiting"
AT_ONCE = ("NO_ROUND", "HOLD")
"""Reasons that this demonstration does not wait for."""
ENDED_BY = (signal.SIGINT, signal.SIGTERM)


class Desk:
    """The home in front of the person, reached over its local channel whenever its agent runs."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder / "home")
        self.home.prepare()
        self.home.demo_mark.touch(mode=0o600)
        self._rows = folder / "rows.npz"
        self._sent = 0

    @property
    def environ(self) -> dict[str, str]:
        return {**os.environ, "AEGIS_HOME": str(self.home.root), "PYTHONWARNINGS": "ignore"}

    def call(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """What the agent answers; None while none runs or it refuses."""
        try:
            channel = Channel(socket_path(self.home.root, os.environ))
        except (NoAgentError, AegisError):
            return None
        with contextlib.closing(channel), contextlib.suppress(AegisError):
            return channel.call(method, params or {}, CALL_S)
        return None

    def give_rows(self, share: Share) -> None:
        """Training data for a device that has none; asked only after a yes, and refused by the
        agent otherwise.
        """
        np.savez(self._rows, X=share.rows, y=share.labels)
        self.call("samples.import", {"path": str(self._rows)})
        self.call(
            "samples.add", {"paths": [str(path) for path in programs_here()], "label": "benign"}
        )


async def attend(
    desk: Desk, tray: ManagedProcess, server: LocalServer, fleet: Fleet, share: Share
) -> None:
    """Accompany the person until the tray ends."""
    over, neighbours = asyncio.Event(), None
    told = ""
    while tray.is_running:
        status = await asyncio.to_thread(desk.call, "status")
        if status is not None and status["consent"]["state"] == "GRANTED":
            if not status["samples_benign"] + status["samples_malicious"]:
                await asyncio.to_thread(desk.give_rows, share)
            elif status["state"] == WAITING and all(
                reason["code"] in AT_ONCE for reason in status["reasons"]
            ):
                await asyncio.to_thread(desk.call, "run_now")
            if neighbours is None:
                neighbours = asyncio.create_task(_neighbours(server, fleet, over))
        told = _tell(told, server)
        await asyncio.sleep(LOOK_S)
    over.set()


async def _neighbours(server: LocalServer, fleet: Fleet, over: asyncio.Event) -> None:
    await fleet.join(await asyncio.to_thread(server.invitation, NEIGHBOURS))
    await fleet.accompany(over)


def _tell(before: str, server: LocalServer) -> str:
    """Say in the terminal when a new model was made."""
    model = server.model()
    now = f"The detector's model is at version {model.version}."
    if now != before and model.version > 1:
        _say(now)
    return now


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may be gone
        print(line, flush=True)  # noqa: T201  for the person at the terminal


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """The right to make this folder anew, as long as the block lasts.

    Raises UserActionError RUNNING_ALREADY.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("ab") as file:
        if os.name != "nt":
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UserActionError(
                    "RUNNING_ALREADY",
                    "This demonstration is running already.",
                    "Quit it in its icon's menu first.",
                ) from error
        yield


def run(folder: Path) -> None:
    """Returns when the tray has ended. Raises AegisError, KeyboardInterrupt."""
    with only_one(folder):
        _run(folder)


def _run(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    _say("Making an aggregator and a device of yours ...")
    made = generate(np.random.default_rng(1), ROWS, group_rows=GROUP_ROWS)
    table = data.from_arrays(
        "generated", made.rows, made.labels, data.held_out_groups(made.groups, 1)
    )
    shares = data.deal(table, NEIGHBOURS + 1, ROWS_EACH, 1)
    untrained = folder / "untrained.safetensors"
    untrained.write_bytes(to_safetensors(LogisticModel(np.zeros(116)), demonstration=True))
    plan = DemoPlan(
        devices=NEIGHBOURS + 1, mode=Mode.LOCAL.value
    )  # nobody waits for a group: a person watches
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(
            LocalServer(folder / "server", plan.server_options(untrained, NEIGHBOURS, 1))
        )
        desk = Desk(folder)
        _enrol(desk, server.invitation(1))
        fleet = Fleet(folder / "devices", shares[:-1])
        server.start()
        tray = stack.enter_context(
            ManagedProcess(
                "The tray",
                [sys.executable, "-P", "-m", "agent", "tray"],
                desk.environ,
                folder / "tray.log",
            )
        )
        _say(
            "The window opens and asks you first; the icon is in the notification area. Dashboard:"
            f" {server.operator_url}"
        )
        _say(
            f"{NEIGHBOURS} simulated neighbours join once you agree. Quit in the icon's menu, or"
            " Ctrl-C here, ends everything."
        )
        try:
            asyncio.run(attend(desk, tray, server, fleet, shares[-1]))
        finally:
            with ThreadPoolExecutor() as pool:  # side by side: three seconds are promised
                list(pool.map(lambda end: end(), (tray.end, server.close)))


def _enrol(desk: Desk, invitation: str) -> None:
    """Take the invitation before the agent starts; nobody is contacted.

    The neighbours' load on this computer is no reason to wait.
    """
    import subprocess

    for words in (("enroll", invitation), ("settings", "set", "busy.share", "100")):
        command = [sys.executable, "-P", "-m", "agent", *words]
        subprocess.run(command, env=desk.environ, check=True, stdout=subprocess.DEVNULL, timeout=60)


def main() -> int:
    """`python -m server_stub.demo.desktop FOLDER`."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for each in ENDED_BY:
        signal.signal(each, interrupt)
    try:
        run(Path(sys.argv[1]).absolute())
        code = 0
    except KeyboardInterrupt:
        code = 130
    except AegisError as error:
        print(f"make run: {error}", file=sys.stderr)  # noqa: T201
        code = 1
    _say("Everything has ended.")
    os._exit(code)  # a neighbour may still hang in the network; ending does not wait for it


if __name__ == "__main__":
    main()
