"""Runs the enrolment authority as its own process.

The operator starts it with `aegis-server ca run`; otherwise the aggregator starts it as a child.
"""

import contextlib
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from agent.clock import Clock
from agent.errors import AegisError, OperatorActionError
from server_stub.ca.authority import Authority
from server_stub.ca.rpc import AuthorityServer, Enrolment, RemoteAuthority, is_listening
from server_stub.config import descriptors

END_S = 20.0
"""How long a child may take to end."""
DAY_S = 24 * 3600
READY_LINE = "The enrolment authority is ready."
LOG = logging.getLogger("aegisai.authority")


class Daily:
    """Runs an action once a day by the wall clock."""

    def __init__(self, clock: Clock, action: Callable[[], object]) -> None:
        self._clock, self._action = clock, action
        self._last_run: int | None = None

    def __call__(self) -> None:
        """Run the action if it is due. A failure is logged; the next attempt is a day later."""
        now = self._clock.now()
        # A clock that was set back must not postpone the next run.
        if self._last_run is not None and 0 <= now - self._last_run < DAY_S:
            return
        self._last_run = now
        try:
            self._action()
        except (AegisError, OSError, ValueError) as error:
            LOG.warning("daily_action.failed error=%s", error)


class _Server(AuthorityServer):
    """Calls `tick` several times a second."""

    tick: Callable[[], None]

    def service_actions(self) -> None:
        self.tick()


def run(folder: Path, clock: Clock, *, until_input_ends: bool, daily: Callable[[], object]) -> None:
    """Serve until SIGTERM or SIGINT, and run `daily` at once and then every day.

    `until_input_ends` also ends with standard input: a child ends with its parent. Raises
    OperatorActionError CA_KEY, CA_RUNNING.
    """
    descriptors.raise_limit()
    authority = Authority(folder, clock)
    server = _Server(folder, authority)
    server.tick = Daily(clock, daily)

    def stop(*_: object) -> None:
        threading.Thread(target=server.shutdown, daemon=True).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    if until_input_ends:
        threading.Thread(target=_stop_after_input, args=(stop,), daemon=True).start()
    server.tick()
    print(READY_LINE, flush=True)  # noqa: T201
    try:
        server.serve_forever(poll_interval=0.2)
    finally:
        server.server_close()
        authority.close()


@contextlib.contextmanager
def running_authority(home: Path, folder: Path, ca_pem: str) -> Iterator[Enrolment]:
    """Connect to the authority that listens in `folder`; start one if none does.

    A child ends with the block. Raises OperatorActionError CA_START.
    """
    children: list[subprocess.Popen[bytes]] = []

    def ensure_running() -> None:
        if not is_listening(folder):
            children.append(_start(home))

    ensure_running()
    authority = RemoteAuthority(folder, ca_pem, ensure_running)
    try:
        yield authority
    finally:
        authority.close()
        for child in children:
            _end(child)


def _stop_after_input(stop: Callable[[], None]) -> None:
    sys.stdin.buffer.read()
    stop()


def _start(home: Path) -> "subprocess.Popen[bytes]":
    command = [
        sys.executable,
        "-P",
        "-m",
        "server_stub.cli.main",
        "ca",
        "run",
        "--home",
        str(home.absolute()),
        "--until-input-ends",
    ]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/", start_new_session=True
    )
    assert child.stdout is not None  # noqa: S101  (it is a pipe)
    if child.stdout.readline().decode().strip() != READY_LINE:
        child.kill()
        _end(child)
        raise OperatorActionError(
            "CA_START",
            "The enrolment authority did not start.",
            "Run `aegis-server ca run` to see why.",
        )
    return child


def _end(child: "subprocess.Popen[bytes]") -> None:
    """Close the child's input, which ends it, and wait."""
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()
    child.wait(END_S)
