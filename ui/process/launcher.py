"""Starts other processes of AegisAI: the agent, and windows for the tray."""

import subprocess
import sys
from contextlib import suppress

from PySide6.QtCore import QTimer

from agent.errors import AegisError
from agent.ipc.places import socket_of
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


def start_agent_if_absent(home: Home, client: AgentClient) -> None:
    """Start the agent once: at once when it has no socket, else when the socket does not answer.

    A socket alone proves nothing: an agent that was killed leaves it behind.
    """
    with suppress(AegisError):
        if not socket_of(home).exists():
            start_aegis("run", "--home", str(home.root))
            return

    def start_if_silent() -> None:
        if not client.is_connected:
            start_aegis("run", "--home", str(home.root))

    QTimer.singleShot(ANSWER_MS, start_if_silent)
