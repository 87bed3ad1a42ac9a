"""Shows the application the client's certificate and bounds what a connection may cost.

1. The head of a request has bounds of time and size.
2. A connection without a certificate ends soon after its last request.
3. A client that does not take its answer is cut off.
4. What follows a chunked body (trailers) is no header of the request.
5. A connection has one request at a time. One chunk of bytes may hold ten thousand short ones, and
   each would take memory until it is its turn.

No ASGI server passes the certificate on (tried: uvicorn, hypercorn, granian). The protocol class
is a public setting of uvicorn.
"""

import asyncio
import hashlib
from typing import Any, NoReturn

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server_stub.api.acceptor import Ticket

MAX_HEAD_BYTES = 32 * 1024
SCOPE_KEY = "aegisai.certificate"
"""Where the ASGI scope holds the certificate's DER, or None."""
STRANGER_KEEP_ALIVE_S = 10
"""How long a connection without a certificate may be idle between requests."""
CLOSING_S = 2.0
"""How long a client may take to end its side of an idle connection."""
STALL_S = 60.0
"""How long a full send buffer may take to drain."""


class CutOffError(Exception):
    """The connection has been ended. Stops the parser, which calls us."""


class PeerCertProtocol(HttpToolsProtocol):
    """One connection."""

    head_s = 15.0
    """Time for a request's head, in seconds; see `with_limits`."""

    ticket: Ticket
    """Set before the connection is made."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Read the certificate after the handshake and pass it on with every request."""
        super().connection_made(transport)
        session = transport.get_extra_info("ssl_object")
        certificate = session.getpeercert(binary_form=True) if session else None
        inner = self.app

        async def app(scope: Any, receive: Any, send: Any) -> None:
            scope[SCOPE_KEY] = certificate
            await inner(scope, receive, send)

        self.app = app
        self._head_bytes = self._field_bytes = 0
        self._in_head = True
        self._stall_timer: asyncio.TimerHandle | None = None
        self._head_timer: asyncio.TimerHandle | None = self.loop.call_later(
            self.head_s, transport.abort
        )
        if certificate is None:
            self.timeout_keep_alive = min(self.timeout_keep_alive, STRANGER_KEEP_ALIVE_S)
            self.ticket.greet()
        elif not self.ticket.prove(hashlib.sha256(certificate).hexdigest()):
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, within the head's bounds of size and time."""
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_timer is None:
                self._head_timer = self.loop.call_later(self.head_s, self.transport.abort)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
            self.transport.close()

    def on_message_begin(self) -> None:
        """Begin a request; end the connection if another one is in progress (rule 5)."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._cut_off()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take the target, or its next part."""
        self._take(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; leave out a trailer (rule 4)."""
        if self._in_head:
            self._take(len(name) + len(value))
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """End the head's bounds: the head is complete."""
        self._in_head = False
        self._stop_head_timer()
        self.ticket.ask()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Begin the next head."""
        self._in_head, self._head_bytes, self._field_bytes = True, 0, 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Begin the next request that has arrived already, or rest."""
        super().on_response_complete()
        if self.cycle is None or self.cycle.response_complete:
            self.ticket.rest()

    def shutdown(self) -> None:
        """End with the server, without waiting for an idle client to close."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()
        else:
            super().shutdown()

    def timeout_keep_alive_handler(self) -> None:
        """End an idle connection, even if the client does not end its side."""
        super().timeout_keep_alive_handler()
        self.loop.call_later(CLOSING_S, self.transport.abort)

    def pause_writing(self) -> None:
        """Wait for the client to take what was sent (rule 3)."""
        super().pause_writing()
        self._stall_timer = self.loop.call_later(STALL_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the client took it."""
        self._stop_stall_timer()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers together with the connection."""
        self._stop_head_timer()
        self._stop_stall_timer()
        self.ticket.end()
        super().connection_lost(exc)

    def _take(self, count: int) -> None:
        """Count what a head has: one that arrives in one piece never is an unfinished one."""
        self._field_bytes += count
        if self._field_bytes > MAX_HEAD_BYTES:
            self._cut_off()

    def _cut_off(self) -> NoReturn:
        self.transport.abort()
        raise CutOffError

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None


def with_limits(head_s: float) -> type[PeerCertProtocol]:
    """Return the protocol class with this many seconds for a request's head."""
    return type("LimitedProtocol", (PeerCertProtocol,), {"head_s": head_s})
