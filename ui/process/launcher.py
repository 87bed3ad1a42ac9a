"""Starts other processes of AegisAI: the agent, and windows for the tray."""

import os
import subprocess
import sys
from contextlib import suppress

from PySide6.QtCore import QTimer

from agent.errors import AegisError
from agent.ipc.places import socket_of
from agent.ipc.session import session_of
from agent.paths import Home
from ui.agent_client import AgentClient

ANSWER_MS = 300
"""A running agent accepts the connection well within this time."""


def start_aegis(*arguments: str) -> None:
    """Start `aegis` with these arguments as a process that outlives this one.

    It shares neither our output nor our working directory, so paths in `arguments` must be
    absolute.
    """
    command = (
        [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-P", "-m", "agent"]
    )
    subprocess.Popen(
        [*command, *arguments],
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=None,
        start_new_session=True,
        close_fds=True,
    )


def start_agent(home: Home) -> None:
    """Start the agent for this login."""
    start_aegis("run", "--session", session_of(os.environ), "--home", str(home.root))


def start_agent_if_absent(home: Home, client: AgentClient, *, takes_over: bool = False) -> None:
    """Start the agent once: at once when it has no socket, else when the socket does not answer.

    A socket alone proves nothing: an agent that was killed leaves it behind.

    `takes_over`: also start it anew if another login's icon started it. That login has ended, and
    with it the bus, the keyring and the screen that the agent knows. For the icon, of which there
    is one; an agent that no icon started is left alone.
    """
    with suppress(AegisError):
        if not socket_of(home).exists():
            start_agent(home)
            return
    is_ending = has_ended = False

    def start_if_silent() -> None:
        if not (client.is_connected or is_ending or has_ended):
            start_agent(home)

    def take_over(is_connected: bool) -> None:
        nonlocal is_ending, has_ended
        if is_connected and client.session not in ("", session_of(os.environ)):
            is_ending = True
            client.call("quit")
        elif not is_connected and is_ending:
            is_ending, has_ended = False, True
            start_agent(home)

    QTimer.singleShot(ANSWER_MS, start_if_silent)
    if takes_over:
        client.connectedChanged.connect(take_over)
