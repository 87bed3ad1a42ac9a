"""Sends one HTTPS request at a time to the aggregator, bounded in time and size.

1. The session trusts the given context and nothing else (agent.transport.pinned_adapter).
2. It ignores the environment, follows no redirect and keeps no cookie
   (agent.transport.isolated_session).
3. Its proxy comes from the settings alone. It accepts no compressed body.
4. A response must state its length and stay below the caller's limit; otherwise reading stops.
5. A response must not repeat a header that is read.
6. Silence ends a request after `read_s`, a steady trickle after `whole_s`. `close` ends it at once,
   from any thread.
"""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import requests

from agent.errors import AegisError, OperatorActionError, PeerError, UserActionError
from agent.protocol.http_signature import repeated_header
from agent.transport.isolated_session import IsolatedSession
from agent.transport.open_sockets import OpenSockets
from agent.transport.pinned_adapter import PinnedAdapter
from agent.transport.request_deadline import RequestDeadline
from agent.transport.responses import HttpResponse
from agent.transport.tls import DATE_CODES, OUT_OF_DATE

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 30.0
"""Longest silence."""
ANSWER_TIMEOUT_S = 300.0
"""Longest request as a whole."""
CHUNK_BYTES = 64 * 1024
DEFAULT_HEADERS = {"User-Agent": "AegisAI", "Accept-Encoding": "identity"}
NO_BODY = frozenset({204, 304})
MAX_CAUSES = 30
"""How many links of an error's chain are read."""


@dataclass(frozen=True)
class Timeouts:
    """How long to wait, in seconds."""

    connect_s: float = CONNECT_TIMEOUT_S
    read_s: float = READ_TIMEOUT_S
    whole_s: float = ANSWER_TIMEOUT_S


class PinnedSession:
    """Keeps its connection open between requests.

    Call `send` from one thread at a time; call `close` from any thread.
    """

    def __init__(
        self,
        server: str,
        context: ssl.SSLContext,
        *,
        proxy: str = "",
        timeouts: Timeouts | None = None,
    ) -> None:
        """`server` is "https://host[:port]"."""
        limits = timeouts or Timeouts()
        self._server = server
        self._timeout = (limits.connect_s, limits.read_s)
        self._proxies = {"https": proxy} if proxy else {}
        self._sockets = OpenSockets()
        self._deadline = RequestDeadline(
            limits.whole_s, lambda: self._sockets.cut(permanently=False)
        )
        self._session = IsolatedSession(PinnedAdapter(context, self._sockets))

    def send(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        max_bytes: int,
    ) -> HttpResponse:
        """Send one request and read the whole response.

        Raises UserActionError OFFLINE, OperatorActionError SERVER_CERTIFICATE or REJECTED_IDENTITY,
        PeerError ANSWER_TOO_LARGE or BAD_ANSWER.
        """
        request = requests.Request(
            method, self._server + path, {**DEFAULT_HEADERS, **(headers or {})}, data=body
        )
        self._deadline.start()
        try:
            with self._session.send(
                request.prepare(),  # without the session's defaults: cheaper, and nothing is merged
                stream=True,
                timeout=self._timeout,
                proxies=self._proxies,
                allow_redirects=False,
            ) as response:
                _check_headers(response)
                body_read = _read_body(response, max_bytes)
                return HttpResponse(response.status_code, response.headers, body_read)
        except OSError as error:  # requests' own errors included
            raise _explain(error) from error
        finally:
            self._deadline.stop()
            self._sockets.end_request()

    def close(self) -> None:
        """End the request in progress (its `send` raises OFFLINE) and refuse all later ones."""
        self._sockets.cut(permanently=True)
        self._deadline.close()
        self._session.close()
        self._sockets.end_request()


def _check_headers(response: requests.Response) -> None:
    """Raise PeerError BAD_ANSWER for a repeated header. `response.headers` has joined them."""
    lines = response.raw.headers
    if repeated_header(name for name in lines for _ in lines.getlist(name)):
        raise _bad_answer("The server's answer has a header twice that may occur once.")


def _read_body(response: requests.Response, max_bytes: int) -> bytes:
    """Read the body; stop as soon as it is too large.

    A body without a stated length is refused, because it may have been cut short.
    """
    if response.status_code not in NO_BODY:
        headers = response.headers
        if "Content-Length" not in headers and headers.get("Transfer-Encoding", "") != "chunked":
            raise _bad_answer("The server's answer has no length.")
        if headers.get("Content-Encoding", "identity") != "identity":
            raise _bad_answer("The server's answer is compressed.")
    parts: list[bytes] = []
    size = 0
    for part in response.iter_content(CHUNK_BYTES):
        size += len(part)
        if size > max_bytes:
            raise PeerError(
                "ANSWER_TOO_LARGE",
                "The server's answer is larger than agreed.",
                "Nothing was changed.",
                f"> {max_bytes} bytes",
            )
        parts.append(part)
    return b"".join(parts)


_REFUSAL = re.compile("ALERT.*(CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)")


def _explain(error: OSError) -> AegisError:
    """Turn an error of the network, TLS or requests into one of ours."""
    causes = _causes(error)
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return OperatorActionError(
                "SERVER_CERTIFICATE",
                f"The server's certificate cannot be trusted: {cause.verify_message}.",
                "Nothing was sent. Tell the operator, who renews it."
                if cause.verify_code in DATE_CODES
                else "Nothing was sent. Check the server's address, or ask the operator for a new "
                "invitation.",
                OUT_OF_DATE if cause.verify_code in DATE_CODES else "",
            )
    detail = f"{type(error).__name__}: {error}"[:500]
    for cause in causes:
        if isinstance(cause, ssl.SSLError) and _REFUSAL.search(cause.reason or ""):
            return OperatorActionError(
                "REJECTED_IDENTITY",
                "The server refuses this device's certificate.",
                "Ask the operator whether the device was revoked.",
                detail,
            )
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return _offline("The server did not answer in time.", detail)
    if any(
        isinstance(cause, ssl.SSLError | ConnectionResetError | BrokenPipeError) for cause in causes
    ):
        # In TLS 1.3 the server refuses a certificate after the client has finished its handshake.
        # The device may then see no more than a lost connection.
        return _offline(
            "The connection ended before the server answered; the network may be down, or the "
            "server refuses this device.",
            detail,
        )
    return _offline("The server cannot be reached.", detail)


def _causes(error: BaseException) -> list[BaseException]:
    """The error, what it wraps and what caused it, nearest first."""
    found: list[BaseException] = []
    pending: list[object] = [error]
    while pending and len(found) < MAX_CAUSES:
        candidate = pending.pop(0)
        if isinstance(candidate, BaseException) and candidate not in found:
            found.append(candidate)
            pending += [
                candidate.__cause__,
                candidate.__context__,
                getattr(candidate, "reason", None),
                *candidate.args,
            ]
    return found


def _offline(message: str, detail: str) -> UserActionError:
    return UserActionError(
        "OFFLINE",
        message,
        "AegisAI tries again by itself; check the network connection.",
        detail,
    )


def _bad_answer(message: str) -> PeerError:
    return PeerError("BAD_ANSWER", message, "Nothing was changed. Tell the operator.")
