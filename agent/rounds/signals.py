"""Carries changes and requests between the parts of one agent.

The loop and the local channel connect themselves. An agent without them (a command, a simulated
device) works too: its signals reach no listener.
"""

from collections.abc import Callable

Listener = Callable[[], None]


def _ignore() -> None:
    pass


class Signals:
    """Calls its listeners at once, in the event loop's thread."""

    def __init__(self) -> None:
        self._on_change: list[Listener] = []
        self._on_user_change: list[Listener] = []
        self._run_now: Listener = _ignore
        self._request_quit: Listener = _ignore

    def on_change(self, listener: Listener) -> None:
        """Call `listener` when something that the status shows has changed."""
        self._on_change.append(listener)

    def on_user_change(self, listener: Listener) -> None:
        """Call `listener` when a person changed something that a cycle may have waited for."""
        self._on_user_change.append(listener)

    def connect_loop(self, *, run_now: Listener, request_quit: Listener) -> None:
        """Let the loop of a running agent serve these two requests."""
        self._run_now, self._request_quit = run_now, request_quit

    def changed(self) -> None:
        """Something that the status shows has changed."""
        for listener in self._on_change:
            listener()

    def user_changed(self) -> None:
        """A person changed something that a cycle may have waited for."""
        for listener in self._on_user_change:
            listener()
        self.changed()

    def run_now(self) -> None:
        """Ask for a cycle now."""
        self._run_now()

    def request_quit(self) -> None:
        """Ask the agent to end."""
        self._request_quit()
