"""One pinned HTTPS connection to the aggregator: bounded in time and size, no redirects, nothing taken from the environment.

Two traps of requests are closed here (each has a test): with a context of one's own it still adds the public roots, and
REQUESTS_CA_BUNDLE replaces the root that the session was given.
"""

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from agent.errors import AegisError, NeedsOperator, NeedsUser, PeerFault
from agent.transport.answers import Answer

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 30.0
"""Longest silence."""
ANSWER_TIMEOUT_S = 300.0
"""Longest answer as a whole."""
CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True)
class Timeouts:
    """How long to wait, in seconds."""

    connect_s: float = CONNECT_TIMEOUT_S
    read_s: float = READ_TIMEOUT_S
    whole_s: float = ANSWER_TIMEOUT_S


class _Wires:
    """Handles on the open sockets of a session. Once cut, none can be added: nothing more leaves."""

    def __init__(self) -> None:
        self._open: set[socket.socket] = set()
        self._closed = False
        self._lock = threading.Lock()

    def add(self, wire: socket.socket) -> None:
        """Raises ConnectionAbortedError after `cut(for_good=True)`."""
        with self._lock:
            if self._closed:
                wire.close()
                raise ConnectionAbortedError("the connection was closed on this side")
            self._open.add(wire)

    def discard(self, wire: socket.socket) -> None:
        with self._lock:
            self._open.discard(wire)
        wire.close()

    def cut(self, *, for_good: bool) -> None:
        """End both directions of every socket, also from another thread than the one that waits for it."""
        with self._lock:
            self._closed = self._closed or for_good
            for wire in self._open:
                with contextlib.suppress(OSError):
                    wire.shutdown(socket.SHUT_RDWR)


class PinnedSession:
    """A connection that is kept open between requests. `send` is for one thread at a time; `close` may be called from another."""

    def __init__(self, server: str, context: ssl.SSLContext, *, proxy: str = "", timeouts: Timeouts | None = None) -> None:
        self._server = server
        self._timeouts = timeouts or Timeouts()
        self._wires = _Wires()
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.proxies = {"https": proxy} if proxy else {}
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers.clear()
        self._session.headers.update({"User-Agent": "AegisAI", "Accept-Encoding": "identity"})
        self._session.mount("https://", _PinnedAdapter(context, self._wires))

    def send(self, method: str, path: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None, max_bytes: int) -> Answer:
        """Send one request and read its whole answer.

        Raises NeedsUser OFFLINE, NeedsOperator SERVER_CERTIFICATE or REJECTED_IDENTITY, PeerFault ANSWER_TOO_LARGE.
        """
        alarm = threading.Timer(self._timeouts.whole_s, self._wires.cut, kwargs={"for_good": False})
        alarm.daemon = True
        alarm.start()
        try:
            with self._session.request(
                method,
                self._server + path,
                data=body or None,
                headers=headers,
                timeout=(self._timeouts.connect_s, self._timeouts.read_s),
                allow_redirects=False,
                stream=True,
                verify=True,  # the adapter below pins; given on each call so that nothing else decides
            ) as response:
                return Answer(response.status_code, response.headers, _read(response, max_bytes))
        except (requests.RequestException, HTTPError, OSError) as error:
            raise _explained(error) from error
        finally:
            alarm.cancel()

    def close(self) -> None:
        """End what is under way (its `send` raises OFFLINE) and send nothing ever after."""
        self._wires.cut(for_good=True)
        self._session.close()


class _PinnedAdapter(HTTPAdapter):
    """Every connection uses the given context as it is, and leaves in `wires` by what it can be cut."""

    def __init__(self, context: ssl.SSLContext, wires: _Wires) -> None:
        self._context = context
        self._pools = {"https": _pool_class(wires)}
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, ssl_context=self._context, **pool_kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, ssl_context=self._context, **proxy_kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:  # noqa: ARG002 - the signature of requests
        conn.cert_reqs = "CERT_REQUIRED"
        conn.ca_certs = None
        conn.ca_cert_dir = None


def _pool_class(wires: _Wires) -> type[HTTPSConnectionPool]:
    """Connections that keep a second handle on their socket: it cuts them also during the TLS handshake."""

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
                wires.discard(self.wire)
                self.wire = None

    class CuttablePool(HTTPSConnectionPool):
        ConnectionCls = CuttableConnection

    return CuttablePool


def _read(response: requests.Response, max_bytes: int) -> bytes:
    """The body; gives up as soon as it is too large. Only a body of declared length is taken: any other could have been cut off."""
    declared = "Content-Length" in response.headers or response.headers.get("Transfer-Encoding", "") == "chunked"
    if not declared and response.status_code not in (204, 304):
        raise PeerFault("BAD_ANSWER", "The server's answer has no length.", "Nothing was changed. Tell the operator.")
    parts: list[bytes] = []
    size = 0
    read: Callable[[int], bytes] = response.raw.read1
    while chunk := read(CHUNK_BYTES):
        size += len(chunk)
        if size > max_bytes:
            raise PeerFault(
                "ANSWER_TOO_LARGE", "The server's answer is larger than agreed.", "Nothing was changed.", f"> {max_bytes} bytes"
            )
        parts.append(chunk)
    return b"".join(parts)


_REFUSAL = re.compile("ALERT.*(CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)")


def _explained(error: Exception) -> AegisError:
    """The error of the libraries as ours."""
    chain = list(_causes(error))
    for cause in chain:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return NeedsOperator(
                "SERVER_CERTIFICATE",
                f"The server's certificate cannot be trusted: {cause.verify_message}.",
                "Nothing was sent. Check the server's address, or ask the operator for a new invitation.",
            )
    detail = f"{type(error).__name__}: {error}"[:500]
    for cause in chain:
        if isinstance(cause, ssl.SSLError) and _REFUSAL.search(cause.reason or ""):
            return NeedsOperator(
                "REJECTED_IDENTITY",
                "The server refuses this device's certificate.",
                "Ask the operator whether the device was revoked.",
                detail,
            )
    if isinstance(error, requests.Timeout):
        return _offline("The server did not answer in time.", detail)
    if any(
        isinstance(cause, ssl.SSLError | ConnectionResetError | BrokenPipeError) or "RemoteDisconnected" in type(cause).__name__
        for cause in chain
    ):
        return _offline("The connection ended before an answer came; the network may be down, or the server refuses this device.", detail)
    return _offline("The server cannot be reached.", detail)


def _causes(error: BaseException) -> "list[BaseException]":
    """The error, what it wraps and what caused it."""
    found: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting and len(found) < 30:
        next_error = waiting.pop(0)
        if isinstance(next_error, BaseException) and next_error not in found:
            found.append(next_error)
            waiting += [next_error.__cause__, next_error.__context__, getattr(next_error, "reason", None), *next_error.args]
    return found


def _offline(message: str, detail: str) -> NeedsUser:
    return NeedsUser("OFFLINE", message, "AegisAI tries again by itself; check the network connection.", detail)
