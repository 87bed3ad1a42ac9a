"""Shows the application the client's certificate and bounds the head of a request.

No ASGI server passes the certificate on (tried: uvicorn, hypercorn, granian). The protocol class
is a public setting of uvicorn.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 32 * 1024
SCOPE_KEY = "aegisai.certificate"
"""Where the ASGI scope holds the certificate's DER, or None."""


class PeerCertProtocol(HttpToolsProtocol):
    """One connection."""

    head_s = 15.0
    """Time for a request's head, in seconds; see `with_limits`."""

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
        self._head_bytes = 0
        self._in_head = True
        self._head_timer: asyncio.TimerHandle | None = self.loop.call_later(
            self.head_s, transport.close
        )

    def data_received(self, data: bytes) -> None:
        """Feed the parser, within the head's bounds of size and time."""
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_timer is None:
                self._head_timer = self.loop.call_later(self.head_s, self.transport.close)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
            self.transport.close()

    def on_headers_complete(self) -> None:
        """End the head's bounds: the head is complete."""
        self._in_head = False
        self._stop_head_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Begin the next head."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_complete()

    def shutdown(self) -> None:
        """End with the server, without waiting for an idle client to close."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()
        else:
            super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer together with the connection."""
        self._stop_head_timer()
        super().connection_lost(exc)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def with_limits(head_s: float) -> type[PeerCertProtocol]:
    """Return the protocol class with this many seconds for a request's head."""
    return type("LimitedProtocol", (PeerCertProtocol,), {"head_s": head_s})
