"""Whether a worker runs or stands still: on request of its agent, and between the slices of its
limit.

Two threads decide about that: the agent's, which may suspend training at any moment, and the
governor's, which starts a slice 16 times a second. One lock orders them, so no slice that is due
resumes a worker that the agent has just suspended.
"""

import threading
import time

from agent.supervisor.tree import ProcessTree


class Suspension:
    """Suspends and resumes one process tree. A request outranks the slices."""

    def __init__(self, tree: ProcessTree) -> None:
        self._tree = tree
        self._lock = threading.Lock()
        self._is_stopped = False
        self._since: float | None = None

    @property
    def since(self) -> float | None:
        """Monotonic seconds of the request that is in force; None while there is none."""
        return self._since

    def request(self) -> None:
        """Suspend the worker now and keep it suspended until `withdraw`."""
        with self._lock:
            if self._since is None:
                self._since = time.monotonic()
            self._tree.suspend()
            self._is_stopped = True

    def withdraw(self) -> None:
        """Let the next slice start again."""
        with self._lock:
            self._since = None

    def start_slice(self) -> bool:
        """Let the worker run. False: a request keeps it suspended."""
        with self._lock:
            if self._since is None and self._is_stopped:
                self._tree.resume()
                self._is_stopped = False
            return self._since is None

    def end_slice(self) -> None:
        """Suspend the worker until the next slice."""
        with self._lock:
            if not self._is_stopped:
                self._tree.suspend()
                self._is_stopped = True

    def include_new(self) -> None:
        """Suspend processes that joined a suspended tree."""
        with self._lock:
            if self._is_stopped:
                self._tree.suspend()
