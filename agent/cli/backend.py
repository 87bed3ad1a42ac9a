"""Where a command's answer comes from: the running agent over its channel, or an agent in this
process.

Without a running agent a command takes the home's lock, answers in-process and makes no network
connection.
"""

import logging
import os
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from agent.daemon.instance_lock import HomeLock
from agent.errors import AegisError, UserActionError
from agent.files.disk_errors import explained
from agent.ipc.client import Channel, NoAgentError
from agent.ipc.places import socket_of
from agent.paths import Home, check_owner, default_home

if TYPE_CHECKING:
    from agent.container import Agent

T = TypeVar("T")

Answer = dict[str, Any]
"""One JSON document (docs/CONTRACT.md)."""

Report = Callable[[int, int], None]
"""Receives how many steps are done, and how many there are."""

LOCK_WAIT_S = 3.0
"""Commands are short, so one waits for another."""
LOCK_RETRY_S = 0.05


READING = frozenset(
    {
        "status",
        "consent.show",
        "settings.get",
        "samples.list",
        "sources.show",
        "ledger",
        "sent.show",
        "doctor",
    }
)
"""Methods that change nothing, so they need no home that can be written to."""


def request(
    options: Namespace,
    method: str,
    hello_timeout_s: float | None = None,
    **params: Any,
) -> Answer:
    """Call one method of docs/CONTRACT.md. Raises AegisError."""
    return reach(
        options,
        lambda channel: channel.call(method, params),
        lambda agent: _call(agent, method, params),
        hello_timeout_s,
        is_reading=method in READING,
    )


def reach(
    options: Namespace,
    over_channel: Callable[[Channel], Answer],
    in_process: "Callable[[Agent], Answer]",
    hello_timeout_s: float | None = None,
    *,
    is_reading: bool = False,
) -> Answer:
    """Use the running agent, or an agent of this process when none runs.

    `is_reading`: nothing is changed. Then the home may be read-only or missing, and stays so.

    Raises UserActionError HOME_IN_USE when another process keeps the home for LOCK_WAIT_S.
    """
    home = home_of(options)
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        with suppress(NoAgentError):
            channel = channel_to_agent(options, hello_timeout_s)
            try:
                return over_channel(channel)
            finally:
                channel.close()
        if is_reading and (home.obstacle() or not home.root.exists()):
            if not HomeLock(home.lock).is_held():
                return with_reader(home, in_process)
        else:
            with locked(home) as is_ours:
                if is_ours:
                    return with_agent(home, in_process, getattr(options, "passphrase_file", ""))
        if time.monotonic() > deadline:
            raise no_lock(home)
        time.sleep(LOCK_RETRY_S)


def over_channel(
    options: Namespace,
    method: str,
    params: dict[str, Any],
    report: Report,
    reached: Callable[[], None],
) -> Answer | None:
    """Ask the running agent; None when none runs. `reached` is called once it answers.

    Raises AegisError.
    """
    try:
        channel = channel_to_agent(options)
    except NoAgentError:
        return None
    try:
        reached()
        return channel.call(method, params, report=report)
    finally:
        channel.close()


def channel_to_agent(options: Namespace, hello_timeout_s: float | None = None) -> Channel:
    """Raises NoAgentError when no agent runs on this home, and UserActionError HOME_FOREIGN."""
    home = home_of(options)
    check_owner(home)
    return Channel(socket_of(home), hello_timeout_s)


@contextmanager
def own_home(options: Namespace) -> Iterator[None]:
    """Hold the home's lock, as an agent does. Waits for a command that has it for a moment.

    Raises UserActionError AGENT_RUNNING, HOME_UNUSABLE.
    """
    home = home_of(options)
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        with locked(home) as is_ours:
            if is_ours:
                yield
                return
        if time.monotonic() > deadline or _is_answered(options):
            raise UserActionError(
                "AGENT_RUNNING",
                f"An agent{_number(home)} is using this home already.",
                "Use aegis run-now, or aegis quit first.",
            )
        time.sleep(LOCK_RETRY_S)


def _is_answered(options: Namespace) -> bool:
    try:
        channel_to_agent(options, LOCK_WAIT_S).close()
    except NoAgentError:
        return False
    except AegisError:
        pass
    return True


def _number(home: Home) -> str:
    pid = HomeLock(home.lock).holder()
    return "" if pid is None else f" (process {pid})"


@contextmanager
def locked(home: Home) -> Iterator[bool]:
    """Whether this process has the home's lock; released at the end."""
    home.prepare()
    lock = HomeLock(home.lock)
    try:
        is_ours = lock.acquire()
    except OSError as error:
        raise explained(error) from error
    try:
        yield is_ours
    finally:
        lock.release()


def with_agent(home: Home, use: "Callable[[Agent], T]", passphrase_from: str = "") -> T:
    """What `use` makes of an agent on this home; the caller has its lock."""
    from agent.sandbox import private_memory

    private_memory.keep_private()  # before the first key is read
    from agent.app import Overrides, build

    # Without a log of its own a command says what matters in its one line.
    logging.lastResort = logging.NullHandler()
    given = Overrides(passphrase_from=passphrase_from)
    agent = build(home.root, given, watch_machine=True)
    try:
        return use(agent)
    finally:
        agent.close()


def with_reader(home: Home, use: "Callable[[Agent], Answer]") -> Answer:
    """What `use` makes of an agent that writes nothing."""
    from tempfile import TemporaryDirectory

    from agent.app import build_reader

    with ExitStack() as stack:

        def scratch() -> Path:
            try:
                return Path(stack.enter_context(TemporaryDirectory(prefix="aegisai-")))
            except OSError as error:
                raise UserActionError(
                    "HOME_UNUSABLE",
                    "AegisAI finds no folder that a worker can work in.",
                    "Set TMPDIR to a folder that you can write to.",
                ) from error

        agent = build_reader(home.root, scratch)
        stack.callback(agent.close)
        return use(agent)


def home_of(options: Namespace) -> Home:
    """The home that --home names, else the default one."""
    chosen = Path(options.home) if options.home else default_home(os.environ)
    return Home(chosen.absolute())


def no_agent() -> UserActionError:
    """For commands that only a running agent can obey."""
    return UserActionError(
        "NO_AGENT",
        "No agent is running.",
        "Start one with aegis run, or run one cycle with aegis run --once.",
    )


def no_lock(home: Home) -> UserActionError:
    """For a home that another process keeps."""
    return UserActionError(
        "HOME_IN_USE",
        f"Another AegisAI process{_number(home)} is using this home and does not answer.",
        "Wait for it to end, end it, or choose another home with --home.",
    )


def _call(agent: "Agent", method: str, params: dict[str, Any]) -> Answer:
    import asyncio

    return asyncio.run(agent.service.call(method, params))
