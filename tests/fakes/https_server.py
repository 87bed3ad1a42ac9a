"""A scripted HTTPS server on loopback: each path has a prepared answer; what was asked is kept."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self


@dataclass
class Scripted:
    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str | None] = field(default_factory=dict)


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    peer: dict | None
    """The client's certificate as `SSLSocket.getpeercert` gives it."""
    connection: int


class HttpsServer:
    """Context manager. `answers[path]` is a Scripted value or a function from Asked to one."""

    def __init__(
        self,
        folder: Path,
        certificate_pem: str,
        key_pem: bytes,
        client_ca_pem: str = "",
        *,
        demand: bool = False,
    ) -> None:
        chain = folder / f"server-{threading.get_ident()}.pem"
        chain.write_bytes(certificate_pem.encode() + key_pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        chain.unlink()
        if client_ca_pem:
            context.load_verify_locations(cadata=client_ca_pem)
            context.verify_mode = ssl.CERT_REQUIRED if demand else ssl.CERT_OPTIONAL
        self.answers: dict[str, Scripted | Callable[[Asked], Scripted]] = {}
        self.asked: list[Asked] = []
        self._connections: dict[int, int] = {}
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._server.context = context
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    context: ssl.SSLContext

    def finish_request(
        self, request, client_address
    ):  # the handshake runs in the connection's own thread
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with (
            contextlib.suppress(OSError),
            self.context.wrap_socket(request, server_side=True) as wrapped,
        ):
            super().finish_request(wrapped, client_address)

    def handle_error(self, request, client_address):
        pass


def _handler(server: HttpsServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65536

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            peer = self.connection.getpeercert()
            asked = Asked(
                self.command, self.path, dict(self.headers), body, peer, self.client_address[1]
            )
            server.asked.append(asked)
            answer = server.answers.get(self.path, Scripted(404, b'{"code": "NOT_FOUND"}'))
            answer = answer(asked) if callable(answer) else answer
            self.send_response_only(answer.status)
            for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                if value is not None:  # None takes a header away
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = do_DELETE = handle_any

        def log_message(self, *_: object) -> None:
            pass

    return Handler
