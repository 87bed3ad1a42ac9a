"""Sends requests to the aggregator over one pinned connection, signed where they change something.

1. Nothing is opened, read or imported before the first request.
2. A request that changes something is signed over a nonce of the server's
   (agent.protocol.http_signature). Each response carries the next nonce; if it is missing or too
   old, the connection requests one. A request refused for its nonce goes out again with the same
   body under a fresh nonce.
3. Once closed, it sends nothing more and has no key.

Blocking: call from an executor, one call at a time; only `close` may come from another thread.
"""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agent.clock import Clock, SystemClock
from agent.errors import AegisError, InternalError, OperatorActionError, PeerError
from agent.protocol.http_signature import REPLAY_NONCE, SignatureParameters, sign_request
from agent.transport.responses import (
    MAX_JSON_BYTES,
    HttpResponse,
    checked,
    json_object,
    problem,
)
from agent.transport.server_clock import DAY_S, NOTICEABLE_S, ServerClock, clock_wrong
from agent.transport.tls import OUT_OF_DATE

if TYPE_CHECKING:
    from agent.identity.identity import Identity
    from agent.transport.http import PinnedSession, Timeouts

JSON_TYPE = "application/json"
NONCE_LIFE_S = 45.0
"""A nonce of the server's expires after 60 s. An older one than this might expire on its way."""
NONCE_CODES = frozenset({"NONCE_MISSING", "NONCE_EXPIRED", "NONCE_SPENT"})
MAX_NONCES = 3
"""How often one request is sent, each time under a fresh nonce."""
_SUCCESS = frozenset({200, 201, 202, 204, 304})


class SignedConnection:
    """Sends requests under a device's identity, or under none."""

    def __init__(
        self,
        server: str,
        ca_pem: str,
        identity: "Identity | None" = None,
        *,
        proxy: str = "",
        timeouts: "Timeouts | None" = None,
        clock: Clock | None = None,
        server_clock: ServerClock | None = None,
        meter: Callable[[int, int], None] | None = None,
    ) -> None:
        """`meter` takes the body bytes of each successful request and of its response."""
        self._server = server
        self._ca_pem = ca_pem
        self._identity = identity
        self._proxy = proxy
        self._timeouts = timeouts
        self._clock = clock or SystemClock()
        self._server_clock = server_clock or ServerClock(self._clock)
        self._meter = meter
        self._session: PinnedSession | None = None
        self._is_closed = False
        self._nonce = ""
        self._nonce_until = 0.0
        self.shows_certificate = identity is not None

    @property
    def identity(self) -> "Identity | None":
        """The identity of this connection; None once it is closed."""
        return self._identity

    def get(self, path: str, max_bytes: int = MAX_JSON_BYTES) -> HttpResponse:
        """Fetch `path`. Raises the problem that the server reports."""
        return self.send("GET", path, max_bytes=max_bytes)

    def post_json(self, path: str, value: dict[str, str]) -> HttpResponse:
        """Send a JSON object, unsigned."""
        return self.send("POST", path, to_json(value), {"Content-Type": JSON_TYPE})

    def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        *,
        max_bytes: int = MAX_JSON_BYTES,
    ) -> HttpResponse:
        """Send a request, unsigned. Raises the problem that the server reports."""
        response = self._answer(method, path, body, headers, max_bytes)
        self._keep_nonce(response.headers.get(REPLAY_NONCE, ""))
        if response.status >= 400:
            raise problem(response)
        if response.status not in _SUCCESS:
            raise PeerError(
                "SERVER_ERROR",
                f"The server answered with status {response.status}.",
                "Tell the operator.",
            )
        self._measure(body, response)
        return response

    def send_signed(
        self,
        method: str,
        path: str,
        body: bytes,
        content_type: str = JSON_TYPE,
        *,
        max_bytes: int = MAX_JSON_BYTES,
    ) -> HttpResponse:
        """Send a request signed by the identity's key; again under a fresh nonce if one is refused.

        Raises InternalError NO_IDENTITY and the problem that the server reports.
        """
        identity = self._identity
        if identity is None:
            raise InternalError("NO_IDENTITY", "A signed request needs an identity.")
        tries = MAX_NONCES
        while True:
            tries -= 1
            headers = sign_request(
                method,
                urlsplit(self._server).netloc,
                path,
                content_type,
                body,
                SignatureParameters(
                    identity.device_id, self._take_nonce(identity.device_id), self._clock.now()
                ),
                identity.signer.sign,
            )
            try:
                return self.send(method, path, body, headers, max_bytes=max_bytes)
            except PeerError as error:
                if error.code not in NONCE_CODES or not tries:
                    raise

    def public_file(self, path: str, max_bytes: int) -> bytes | None:
        """Fetch a public file; None when it does not exist."""
        response = self._answer("GET", path, b"", None, max_bytes)
        if response.status == 404:
            return None
        if response.status != 200:
            raise problem(response)
        self._measure(b"", response)
        return response.body

    def hide_certificate(self) -> None:
        """Continue over a new connection without a certificate. Requests are still signed."""
        self.shows_certificate = False
        self.hang_up()

    def hang_up(self) -> None:
        """Close the connection; the next request opens a new one."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def close(self) -> None:
        """End the request under way, forget the key and refuse every later request.

        May be called from another thread.
        """
        self._is_closed = True
        if self._session is not None:
            self._session.close()
        self._identity = None

    def _answer(
        self, method: str, path: str, body: bytes, headers: dict[str, str] | None, max_bytes: int
    ) -> HttpResponse:
        """Send one request and note the server's time. Raises UserActionError CLOCK_WRONG."""
        try:
            response = self._open().send(
                method, path, body=body, headers=headers, max_bytes=max_bytes
            )
        except OperatorActionError as error:
            if error.code == "SERVER_CERTIFICATE" and error.detail == OUT_OF_DATE:
                raise self._date_error(error) from error
            raise
        self._server_clock.note_date(response.headers.get("Date", ""))
        return response

    def _date_error(self, error: OperatorActionError) -> AegisError:
        """Return CLOCK_WRONG if this computer's clock is why the server's certificate seems not yet
        or no longer valid, else `error`.

        Asks the server's time over a connection that checks everything but dates, and sends nothing
        about this device. An answer from before this device's certificate is not believed: it may
        come from someone with an old key of the server's, who wants the clock set back.
        """
        oldest = 0 if self._identity is None else self._identity.not_before
        try:
            self._server_clock.note_date(self._asked_time())
        except AegisError:
            behind_s = oldest - self._clock.now()
            return clock_wrong(-behind_s, "at least") if behind_s >= NOTICEABLE_S else error
        offset = self._server_clock.offset_s()
        is_wrong = offset is not None and abs(offset) >= NOTICEABLE_S
        is_old = (self._server_clock.now() or 0) < oldest - DAY_S
        return clock_wrong(offset or 0) if is_wrong and not is_old else error

    def _asked_time(self) -> str:
        from agent.transport.http import PinnedSession
        from agent.transport.tls import client_context

        session = PinnedSession(
            self._server,
            client_context(self._ca_pem, checks_dates=False),
            proxy=self._proxy,
            timeouts=self._timeouts,
        )
        try:
            response = session.send("GET", "/healthz", max_bytes=MAX_JSON_BYTES)
        finally:
            session.close()
        return response.headers.get("Date", "")

    def _measure(self, body: bytes, response: HttpResponse) -> None:
        if self._meter is not None:
            self._meter(len(body), len(response.body))

    def _take_nonce(self, device_id: str) -> str:
        """Return a nonce that is unused and not about to expire."""
        if not self._nonce or self._clock.monotonic() > self._nonce_until:
            response = self.post_json("/api/v1/challenge", {"device_id": device_id})
            self._keep_nonce(str(checked(json_object(response), nonce=str)["nonce"]))
        nonce, self._nonce = self._nonce, ""
        return nonce

    def _keep_nonce(self, nonce: str) -> None:
        self._nonce, self._nonce_until = nonce, self._clock.monotonic() + NONCE_LIFE_S

    def _open(self) -> "PinnedSession":
        if self._session is None:
            from agent.transport.http import PinnedSession
            from agent.transport.tls import client_context

            # The server's time where it is known: this computer's clock may be wrong.
            now = self._server_clock.now_or_local()
            if self._identity is not None and self._identity.not_after <= now:
                self.shows_certificate = False
            context = client_context(
                self._ca_pem, self._identity if self.shows_certificate else None
            )
            self._session = PinnedSession(
                self._server, context, proxy=self._proxy, timeouts=self._timeouts
            )
        if self._is_closed:  # checked last: `close` may come while the session is being made
            self._session.close()
        return self._session


def to_json(value: dict[str, Any]) -> bytes:
    """Encode the body of a request."""
    return json.dumps(value).encode()
