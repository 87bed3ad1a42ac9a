"""One pinned HTTPS connection to the aggregator: bounded in time and size, no redirects, nothing
taken from the environment.

urllib3 by itself, because requests would add the public roots to a context and let
REQUESTS_CA_BUNDLE replace the one it was given (measured; tests hold both), and takes four times
the processor time for a request.
"""

import contextlib
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from urllib3 import PoolManager, ProxyManager
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool
from urllib3.exceptions import HTTPError, TimeoutError
from urllib3.response import BaseHTTPResponse
from urllib3.util import Timeout

from agent.errors import AegisError, OperatorActionError, PeerError, UserActionError
from agent.transport.answers import Answer

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 30.0
"""Longest silence."""
ANSWER_TIMEOUT_S = 300.0
"""Longest answer as a whole."""
CHUNK_BYTES = 64 * 1024
OURS = {"User-Agent": "AegisAI", "Accept-Encoding": "identity"}


@dataclass(frozen=True)
class Timeouts:
    """How long to wait, in seconds."""

    connect_s: float = CONNECT_TIMEOUT_S
    read_s: float = READ_TIMEOUT_S
    whole_s: float = ANSWER_TIMEOUT_S


class _Wires:
    """Handles on the open sockets of a session.

    Once cut, none can be added until the next request, or ever: nothing more leaves.
    """

    def __init__(self) -> None:
        self._open: set[socket.socket] = set()
        self._done: set[socket.socket] = set()
        """Their connections are closed, but an answer may still be read from them (`Connection:
        close`)."""
        self._is_cut = False
        self._closed = False
        self._lock = threading.Lock()

    def add(self, wire: socket.socket) -> None:
        """Raises ConnectionAbortedError after `cut`."""
        with self._lock:
            if self._closed or self._is_cut:
                wire.close()
                raise ConnectionAbortedError("the connection was closed on this side")
            self._open.add(wire)

    def done(self, wire: socket.socket) -> None:
        """The connection is closed."""
        with self._lock:
            self._open.discard(wire)
            self._done.add(wire)

    def settle(self) -> None:
        """No request is under way."""
        with self._lock:
            done, self._done, self._is_cut = self._done, set(), False
        for wire in done:
            wire.close()

    def cut(self, *, for_good: bool) -> None:
        """End both directions of every socket, also from another thread than the one that waits for
        it.
        """
        with self._lock:
            self._is_cut, self._closed = True, self._closed or for_good
            for wire in self._open | self._done:
                with contextlib.suppress(OSError):
                    wire.shutdown(socket.SHUT_RDWR)


class _Alarm:
    """Calls `ring` when a request takes too long: one thread for a session, because one for each
    request costs more than the request.
    """

    def __init__(self, after_s: float, ring: Callable[[], None]) -> None:
        self._after_s = after_s
        self._ring = ring
        self._due_s: float | None = None
        self._ended = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def set(self) -> None:
        """A request begins."""
        with self._changed:
            self._due_s = time.monotonic() + self._after_s
        if self._thread is None and not self._ended:
            self._thread = threading.Thread(
                target=self._watch, name="request-deadline", daemon=True
            )
            self._thread.start()

    def clear(self) -> None:
        """It has ended."""
        with self._changed:
            self._due_s = None

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify()

    def _watch(self) -> None:
        with self._changed:
            while not self._ended:
                due_s, now_s = self._due_s, time.monotonic()
                if due_s is not None and due_s <= now_s:
                    self._ring()
                    self._due_s = due_s = None
                # A request that begins meanwhile is due later than this wait ends: nobody has to
                # wake the thread for it.
                self._changed.wait(self._after_s if due_s is None else due_s - now_s)


class PinnedSession:
    """A connection that is kept open between requests.

    `send` is for one thread at a time; `close` may be called from another.
    """

    def __init__(
        self,
        server: str,
        context: ssl.SSLContext,
        *,
        proxy: str = "",
        timeouts: Timeouts | None = None,
    ) -> None:
        limits = timeouts or Timeouts()
        self._timeout = Timeout(connect=limits.connect_s, read=limits.read_s)
        self._wires = _Wires()
        self._alarm = _Alarm(limits.whole_s, lambda: self._wires.cut(for_good=False))
        options: dict[str, Any] = {
            "num_pools": 1,
            "maxsize": 1,
            "ssl_context": context,
            "retries": False,
        }
        manager = ProxyManager(proxy, **options) if proxy else PoolManager(**options)
        manager.pool_classes_by_scheme = {"https": _pool_class(self._wires)}
        self._pool = manager.connection_from_url(server)

    def send(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        max_bytes: int,
    ) -> Answer:
        """Send one request and read its whole answer.

        Raises UserActionError OFFLINE, OperatorActionError SERVER_CERTIFICATE or REJECTED_IDENTITY,
        PeerError ANSWER_TOO_LARGE.
        """
        self._alarm.set()
        try:
            with self._pool.urlopen(
                method,
                path,
                body or None,
                {**OURS, **(headers or {})},
                timeout=self._timeout,
                redirect=False,
                preload_content=False,
                decode_content=False,
            ) as response:
                return Answer(response.status, response.headers, _read(response, max_bytes))
        except (HTTPError, OSError) as error:
            raise _explained(error) from error
        finally:
            self._alarm.clear()
            self._wires.settle()

    def close(self) -> None:
        """End what is under way (its `send` raises OFFLINE) and send nothing ever after."""
        self._wires.cut(for_good=True)
        self._alarm.end()
        self._pool.close()
        self._wires.settle()


def _pool_class(wires: _Wires) -> type[HTTPSConnectionPool]:
    """Connections that keep a second handle on their socket: it cuts them also during the TLS
    handshake.
    """

    class CuttableConnection(HTTPSConnection):
        wire: socket.socket | None = None

        def _new_conn(self) -> socket.socket:
            opened = super()._new_conn()
            wire = opened.dup()
            try:
                wires.add(wire)
            except ConnectionAbortedError:
                opened.close()
                raise
            self.wire = wire
            return opened

        def close(self) -> None:
            super().close()
            if self.wire is not None:
                wires.done(self.wire)
                self.wire = None

    class CuttablePool(HTTPSConnectionPool):
        ConnectionCls = CuttableConnection

    return CuttablePool


def _read(response: BaseHTTPResponse, max_bytes: int) -> bytes:
    """The body; gives up as soon as it is too large.

    Only a body of declared length is taken: any other could have been cut off.
    """
    declared = (
        "Content-Length" in response.headers
        or response.headers.get("Transfer-Encoding", "") == "chunked"
    )
    if not declared and response.status not in (204, 304):
        raise PeerError(
            "BAD_ANSWER",
            "The server's answer has no length.",
            "Nothing was changed. Tell the operator.",
        )
    parts: list[bytes] = []
    size = 0
    while chunk := response.read1(CHUNK_BYTES):
        size += len(chunk)
        if size > max_bytes:
            raise PeerError(
                "ANSWER_TOO_LARGE",
                "The server's answer is larger than agreed.",
                "Nothing was changed.",
                f"> {max_bytes} bytes",
            )
        parts.append(chunk)
    return b"".join(parts)


_REFUSAL = re.compile("ALERT.*(CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)")


def _explained(error: Exception) -> AegisError:
    """The error of the libraries as ours."""
    chain = list(_causes(error))
    for cause in chain:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return OperatorActionError(
                "SERVER_CERTIFICATE",
                f"The server's certificate cannot be trusted: {cause.verify_message}.",
                "Nothing was sent. Check the server's address, or ask the operator for a new"
                " invitation.",
            )
    detail = f"{type(error).__name__}: {error}"[:500]
    for cause in chain:
        if isinstance(cause, ssl.SSLError) and _REFUSAL.search(cause.reason or ""):
            return OperatorActionError(
                "REJECTED_IDENTITY",
                "The server refuses this device's certificate.",
                "Ask the operator whether the device was revoked.",
                detail,
            )
    if isinstance(error, TimeoutError):
        return _offline("The server did not answer in time.", detail)
    if any(
        isinstance(cause, ssl.SSLError | ConnectionResetError | BrokenPipeError)
        or "RemoteDisconnected" in type(cause).__name__
        for cause in chain
    ):
        return _offline(
            "The connection ended before an answer came; the network may be down, or the server"
            " refuses this device.",
            detail,
        )
    return _offline("The server cannot be reached.", detail)


def _causes(error: BaseException) -> "list[BaseException]":
    """The error, what it wraps and what caused it."""
    found: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting and len(found) < 30:
        next_error = waiting.pop(0)
        if isinstance(next_error, BaseException) and next_error not in found:
            found.append(next_error)
            waiting += [
                next_error.__cause__,
                next_error.__context__,
                getattr(next_error, "reason", None),
                *next_error.args,
            ]
    return found


def _offline(message: str, detail: str) -> UserActionError:
    return UserActionError(
        "OFFLINE", message, "AegisAI tries again by itself; check the network connection.", detail
    )
