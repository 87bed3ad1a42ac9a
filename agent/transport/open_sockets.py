"""Tracks a session's open sockets, so that any thread can cut them at any moment."""

import contextlib
import socket
import threading


class OpenSockets:
    """The sockets of one session.

    After a cut, no socket can be added until the current request ends, or ever again if the cut is
    permanent.

    Each entry is a duplicate of a connection's socket. Shutting down the duplicate also ends the
    original, even while that is wrapped in TLS or in the middle of a handshake.
    """

    def __init__(self) -> None:
        self._open: set[socket.socket] = set()
        self._closed: set[socket.socket] = set()
        """Closed by the HTTP library, which may still read a response from them: with
        `Connection: close` it closes a connection as soon as it has the response's headers."""
        self._is_cut = False
        self._is_cut_permanently = False
        self._lock = threading.Lock()

    def check(self) -> None:
        """Raise ConnectionAbortedError after a cut."""
        with self._lock:
            self._check()

    def add(self, original: socket.socket) -> socket.socket:
        """Track a connection's socket; return the duplicate that stands for it.

        Raises ConnectionAbortedError after a cut.
        """
        with self._lock:
            self._check()
            duplicate = original.dup()
            self._open.add(duplicate)
            return duplicate

    def mark_closed(self, duplicate: socket.socket) -> None:
        """Note that the connection is closed. Its socket can be cut until the request ends."""
        with self._lock:
            self._open.discard(duplicate)
            if not self._is_cut_permanently:
                self._closed.add(duplicate)
                return
        duplicate.close()  # it is shut down, and no request may follow that would release it

    def end_request(self) -> None:
        """Release the sockets of closed connections.

        Allow new ones again, unless the cut was permanent.
        """
        with self._lock:
            closed, self._closed = self._closed, set()
            self._is_cut = self._is_cut_permanently
        for duplicate in closed:
            duplicate.close()

    def cut(self, *, permanently: bool) -> None:
        """Shut down every socket in both directions. A thread that waits for one fails at once."""
        with self._lock:
            self._is_cut = True
            self._is_cut_permanently = self._is_cut_permanently or permanently
            for duplicate in self._open | self._closed:
                with contextlib.suppress(OSError):  # the peer may already be gone
                    duplicate.shutdown(socket.SHUT_RDWR)

    def _check(self) -> None:
        if self._is_cut:
            raise ConnectionAbortedError("the connection was closed on this side")
