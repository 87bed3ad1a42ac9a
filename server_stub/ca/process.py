"""The authority's process: `aegis-server ca run`, or a child that the aggregator starts for
itself.
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
from server_stub.ca.rpc import AuthorityServer, Enrolment, RemoteAuthority, is_answering

START_S = 20.0
DAY_S = 24 * 3600
READY_LINE = "The enrolment authority is ready."
LOG = logging.getLogger("aegisai.authority")


class Daily:
    """Does something now and then once a day by a clock."""

    def __init__(self, clock: Clock, act: Callable[[], object]) -> None:
        self._clock, self._act = clock, act
        self._done_at: int | None = None

    def __call__(self) -> None:
        """Do it when it is time. What fails is logged and tried again the next day."""
        now = self._clock.now()
        if self._done_at is not None and 0 <= now - self._done_at < DAY_S:
            return
        self._done_at = now
        try:
            self._act()
        except (AegisError, OSError, ValueError) as error:
            LOG.warning("the daily work failed: %s", error)


class _Server(AuthorityServer):
    """`tick` is called several times a second."""

    tick: Callable[[], None]

    def service_actions(self) -> None:
        self.tick()


def run(folder: Path, clock: Clock, *, until_input_ends: bool, daily: Callable[[], object]) -> None:
    """Answer until SIGTERM, SIGINT, or the end of standard input (a child's parent has gone).
    Raises OperatorActionError CA_KEY, CA_RUNNING.

    `daily` is done now and each day.
    """
    authority = Authority(folder, clock)
    server = _Server(folder, authority)
    server.tick = Daily(clock, daily)

    def stop(*_: object) -> None:
        threading.Thread(target=server.shutdown, daemon=True).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    if until_input_ends:
        threading.Thread(target=_after_input, args=(stop,), daemon=True).start()
    server.tick()
    print(READY_LINE, flush=True)  # noqa: T201
    try:
        server.serve_forever(poll_interval=0.2)
    finally:
        server.server_close()
        authority.close()


@contextlib.contextmanager
def reached(home: Path, folder: Path, ca_pem: str) -> Iterator[Enrolment]:
    """The authority that listens in `folder`; where none does, one is started, for as long as this
    lasts. Raises OperatorActionError CA_START.
    """
    children: list[subprocess.Popen[bytes]] = []

    def revive() -> None:
        if not is_answering(folder):
            children.append(_start(home))

    revive()
    authority = RemoteAuthority(folder, ca_pem, revive)
    try:
        yield authority
    finally:
        authority.close()
        for child in children:
            _end(child)


def _after_input(stop: Callable[[], None]) -> None:
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
        child.wait()
        raise OperatorActionError(
            "CA_START",
            "The enrolment authority did not start.",
            "Start it by itself: aegis-server ca run.",
        )
    return child


def _end(child: "subprocess.Popen[bytes]") -> None:
    """Its input ends, and so does it."""
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()
    child.wait(START_S)
