"""Ends a request that takes too long as a whole, however steadily its response drips in."""

import threading
import time
from collections.abc import Callable


class RequestDeadline:
    """Calls `on_expired` when a request takes longer than `limit_s`.

    One thread serves the whole session: a thread for each request would cost more than the request
    itself.
    """

    def __init__(self, limit_s: float, on_expired: Callable[[], None]) -> None:
        self._limit_s = limit_s
        self._on_expired = on_expired
        self._due_s: float | None = None
        self._is_closed = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start timing a request."""
        with self._changed:
            self._due_s = time.monotonic() + self._limit_s
        if self._thread is None and not self._is_closed:
            self._thread = threading.Thread(
                target=self._watch, name="request-deadline", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Stop timing: the request has ended."""
        with self._changed:
            self._due_s = None

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def _watch(self) -> None:
        with self._changed:
            while not self._is_closed:
                due_s, now_s = self._due_s, time.monotonic()
                if due_s is not None and due_s <= now_s:
                    self._on_expired()
                    self._due_s = due_s = None
                # A new request need not wake this thread: its deadline is later than this wait's
                # end.
                self._changed.wait(self._limit_s if due_s is None else due_s - now_s)
