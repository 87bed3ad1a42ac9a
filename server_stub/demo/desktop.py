"""`make run` with a display: the real tray, window and agent, and simulated neighbours.

1. Everything lives in one folder, which each run creates from scratch. Keys are in memory, nothing
   listens beyond loopback, and nothing starts by itself later.
2. Only you say yes: the window asks, and the neighbours take part only once you have agreed.
3. After a yes your device learns from generated rows and from the Windows programs in this Python
   environment, and joins each round at once instead of asking every half hour. Pausing, limits and
   withdrawing work as always.
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

from agent.config.device_limits import mark_demo
from agent.detector.model import LogisticModel, to_safetensors
from agent.detector.synthetic import generate
from agent.errors import AegisError, UserActionError
from agent.ipc.client import Channel, NoAgentError
from agent.ipc.places import socket_of
from agent.paths import Home
from agent.printable import printable
from agent.privacy.budget import FAST_SPENDING
from agent.privacy.policy import DeviceLimits
from agent.protocol.messages import Mode
from agent.sandbox import private_memory
from server_stub.demo.device_fleet import Fleet
from server_stub.demo.full_agent import programs_here
from server_stub.demo.local_server import LocalServer
from server_stub.demo.plan import EPSILONS, GROUP_ROWS, LOGISTIC, ROWS_EACH, DemoPlan
from server_stub.demo.processes import ManagedProcess
from server_stub.simulation import data
from server_stub.simulation.data import Share

NEIGHBOURS = 7
ROWS = 3_000
POLL_S = 1.0
CALL_S = 120.0
WAITING = "waiting"
SKIPPED_WAITS = ("NO_ROUND", "HOLD")
"""Reasons for waiting that the demonstration cuts short."""
END_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class PersonsDevice:
    """The device in front of the person, reached over its local channel while its agent runs."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder / "home")
        self.home.prepare()
        # The rounds of the demonstration cost more than a tenth of the budget each.
        mark_demo(self.home, DeviceLimits(spending=FAST_SPENDING))
        self._rows = folder / "rows.npz"

    @property
    def environ(self) -> dict[str, str]:
        return {**os.environ, "AEGIS_HOME": str(self.home.root), "PYTHONWARNINGS": "ignore"}

    def call(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """The agent's answer; None while it does not run, or when it refuses."""
        try:
            channel = Channel(socket_of(self.home))
        except (NoAgentError, AegisError):
            return None
        with contextlib.closing(channel), contextlib.suppress(AegisError):
            return channel.call(method, params or {}, CALL_S)
        return None

    def add_training_data(self, share: Share) -> None:
        """Add rows and real programs. Call it after a yes: the agent refuses otherwise."""
        np.savez(self._rows, X=share.rows, y=share.labels)
        self.call("samples.import", {"path": str(self._rows)})
        self.call(
            "samples.add", {"paths": [str(path) for path in programs_here()], "label": "benign"}
        )


async def accompany_person(
    device: PersonsDevice, tray: ManagedProcess, server: LocalServer, fleet: Fleet, share: Share
) -> None:
    """Provide training data, neighbours and rounds until the tray ends."""
    over, neighbours = asyncio.Event(), None
    announced = 1
    while tray.is_running:
        status = await asyncio.to_thread(device.call, "status")
        # Before the yes nothing happens, not even among the neighbours.
        if status is not None and status["consent"]["state"] == "GRANTED":
            if not status["samples_benign"] + status["samples_malicious"]:
                await asyncio.to_thread(device.add_training_data, share)
            # A reason that the person chose (a pause, a limit) is respected.
            elif status["state"] == WAITING and all(
                reason["code"] in SKIPPED_WAITS for reason in status["reasons"]
            ):
                await asyncio.to_thread(device.call, "run_now")
            if neighbours is None:
                neighbours = asyncio.create_task(_neighbours(server, fleet, over))
        announced = _announce_model(announced, server)
        await asyncio.sleep(POLL_S)
    over.set()


async def _neighbours(server: LocalServer, fleet: Fleet, over: asyncio.Event) -> None:
    await fleet.join(await asyncio.to_thread(server.invitation, NEIGHBOURS))
    await fleet.follow_rounds(over)


def _announce_model(announced: int, server: LocalServer) -> int:
    """Print the version of the newest model if it is newer; returns the version printed last."""
    version = server.model().version
    if version > announced:
        _print(f"The model of the detector is now at version {version}.")
    return version


def _print(line: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may be gone
        print(line, flush=True)  # noqa: T201  for the person at the terminal


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the right to recreate this folder for the length of the block.

    Raises UserActionError RUNNING_ALREADY.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("ab") as file:
        if os.name != "nt":
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserActionError(
                    "RUNNING_ALREADY",
                    "This demonstration is already running.",
                    "Quit it in its icon's menu first.",
                ) from error
        yield


def run(folder: Path) -> None:
    """Run the demonstration until the tray ends. Raises AegisError, KeyboardInterrupt."""
    with only_one(folder):
        _run(folder)


def _run(folder: Path) -> None:
    # Now and not at the end: after a run its logs stay readable.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    _print("Making an aggregator and your device ...")
    rows = generate(np.random.default_rng(1), ROWS, group_rows=GROUP_ROWS)
    table = data.from_arrays(
        "generated", rows.rows, rows.labels, data.held_out_groups(rows.groups, 1)
    )
    shares = data.deal(table, NEIGHBOURS + 1, ROWS_EACH, 1)
    untrained = folder / "untrained.safetensors"
    untrained.write_bytes(to_safetensors(LogisticModel(np.zeros(116)), demonstration=True))
    # In local mode no device waits for a group while a person watches.
    plan = DemoPlan(
        devices=NEIGHBOURS + 1,
        epsilon=EPSILONS[LOGISTIC],
        mode=Mode.LOCAL.value,
        family=LOGISTIC,
    )
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(
            LocalServer(folder / "server", plan.server_options(untrained, NEIGHBOURS, 1))
        )
        device = PersonsDevice(folder)
        _enrol(device, server.invitation(1))
        fleet = Fleet(folder / "devices", shares[:-1])
        server.start()
        tray = stack.enter_context(
            ManagedProcess(
                "The tray",
                [sys.executable, "-P", "-m", "agent", "tray"],
                device.environ,
                folder / "tray.log",
            )
        )
        _print(
            "The window opens and asks you first. The icon is in the notification area. Dashboard:"
            f" {server.operator_url}"
        )
        _print(
            f"{NEIGHBOURS} simulated neighbours join once you agree. Quit in the icon's menu or"
            " Ctrl-C here ends everything."
        )
        try:
            asyncio.run(accompany_person(device, tray, server, fleet, shares[-1]))
        finally:
            with ThreadPoolExecutor() as pool:  # at the same time: it must take at most 3 s
                list(pool.map(lambda end: end(), (tray.end, server.close)))


def _enrol(device: PersonsDevice, invitation: str) -> None:
    """Store the invitation before the agent starts, without contacting the server, and make it
    ignore the load of the neighbours.
    """
    import subprocess

    for words in (("enroll", invitation), ("settings", "set", "busy.share", "100")):
        command = [sys.executable, "-P", "-m", "agent", *words]
        subprocess.run(
            command, env=device.environ, check=True, stdout=subprocess.DEVNULL, timeout=60
        )


def main() -> int:
    """`python -m server_stub.demo.desktop FOLDER`."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    private_memory.keep_private()
    for number in END_SIGNALS:
        signal.signal(number, interrupt)
    try:
        run(Path(sys.argv[1]).absolute())
        code = 0
    except KeyboardInterrupt:
        code = 130
    except AegisError as error:
        print(printable(f"make run: {error}"), file=sys.stderr)  # noqa: T201
        code = 1
    _print("Everything has ended.")
    os._exit(code)  # does not wait for a neighbour that still has a request under way


if __name__ == "__main__":
    main()
