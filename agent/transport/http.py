"""One pinned HTTPS connection to the aggregator: bounded in time and size, no redirects, nothing taken from the environment.

Two traps of requests are closed here (each has a test): with a context of one's own it still adds the public roots, and
REQUESTS_CA_BUNDLE replaces the root that the session was given.
"""

import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter
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


class PinnedSession:
    """A connection that is kept open between requests. For one thread at a time."""

    def __init__(
        self, server: str, context: ssl.SSLContext, *, proxy: str = "", timeouts: Timeouts | None = None, agent_version: str = ""
    ) -> None:
        self._server = server
        self._timeouts = timeouts or Timeouts()
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.proxies = {"https": proxy} if proxy else {}
        self._session.headers.clear()
        self._session.headers.update({"User-Agent": f"AegisAI {agent_version}".strip(), "Accept-Encoding": "identity"})
        self._session.mount("https://", _PinnedAdapter(context))

    def send(self, method: str, path: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None, max_bytes: int) -> Answer:
        """Send one request and read its whole answer.

        Raises NeedsUser OFFLINE, NeedsOperator SERVER_CERTIFICATE or REJECTED_IDENTITY, PeerFault ANSWER_TOO_LARGE.
        """
        deadline = time.monotonic() + self._timeouts.whole_s
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
                return Answer(response.status_code, response.headers, _read(response, max_bytes, deadline))
        except (requests.RequestException, HTTPError, OSError) as error:
            raise _explained(error) from error

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        self._session.close()


class _PinnedAdapter(HTTPAdapter):
    """Every connection uses the given context as it is."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, ssl_context=self._context, **pool_kwargs)

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        return super().proxy_manager_for(proxy, ssl_context=self._context, **proxy_kwargs)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:  # noqa: ARG002 - the signature of requests
        conn.cert_reqs = "CERT_REQUIRED"
        conn.ca_certs = None
        conn.ca_cert_dir = None


def _read(response: requests.Response, max_bytes: int, deadline: float) -> bytes:
    """The body; gives up as soon as it is too large or too slow."""
    parts: list[bytes] = []
    size = 0
    read: Callable[[int], bytes] = response.raw.read1
    while chunk := read(CHUNK_BYTES):
        size += len(chunk)
        if size > max_bytes:
            raise PeerFault(
                "ANSWER_TOO_LARGE", "The server's answer is larger than agreed.", "Nothing was changed.", f"> {max_bytes} bytes"
            )
        if time.monotonic() > deadline:
            raise _offline("The server's answer took too long.", "")
        parts.append(chunk)
    return b"".join(parts)


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
        if isinstance(cause, ssl.SSLError) and "ALERT" in (cause.reason or ""):
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
