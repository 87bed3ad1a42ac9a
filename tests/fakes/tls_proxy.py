"""A TCP proxy on loopback in front of a TLS server: a test can hold, cut or delay the server's
responses without touching the TLS inside.

For every piece that the server sends, the test's `decide` sees how many bytes have gone each way on
that connection.
"""

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Self


class Action(Enum):
    PASS = "pass"
    HOLD = "hold"
    """Hold this piece and all that follow on this connection until `release`. Then `decide` is
    asked again, and a second HOLD passes it on."""
    CUT = "cut"
    """Close both sides without passing it on."""
    RESET = "reset"
    """The same with a TCP reset."""


@dataclass
class Flow:
    """One connection through the proxy."""

    number: int
    up_bytes: int = 0
    """From the client so far."""
    down_bytes: int = 0
    """To the client so far."""
    turns: int = 0
    """How often the client sent something after the server's last byte."""


class TlsProxy:
    """Context manager; `url` is where clients connect. `decide` may be replaced at any time."""

    def __init__(
        self, upstream_port: int, decide: Callable[[Flow], Action] = lambda _: Action.PASS
    ) -> None:
        self.decide = decide
        self.flows: list[Flow] = []
        self.holding = threading.Event()
        """Set once a piece is on hold."""
        self._released = threading.Event()
        self._upstream_port = upstream_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def release(self) -> None:
        """Pass on the pieces that are on hold."""
        self._released.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        for open_socket in self._sockets:
            _close(open_socket)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._upstream_port))
            except OSError:
                client.close()
                continue
            self._sockets += [client, server]
            flow = Flow(len(self.flows))
            self.flows.append(flow)
            threading.Thread(target=self._up, args=(client, server, flow), daemon=True).start()
            threading.Thread(target=self._down, args=(client, server, flow), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket, flow: Flow) -> None:
        turned = -1
        with contextlib.suppress(OSError):
            while piece := client.recv(65536):
                if turned != flow.down_bytes:
                    turned, flow.turns = flow.down_bytes, flow.turns + 1
                flow.up_bytes += len(piece)
                server.sendall(piece)
        _close(server)

    def _down(self, client: socket.socket, server: socket.socket, flow: Flow) -> None:
        with contextlib.suppress(OSError):
            while piece := server.recv(65536):
                action = self.decide(flow)
                if action is Action.HOLD:
                    self.holding.set()
                    self._released.wait()
                    action = self.decide(flow)
                if action in (Action.CUT, Action.RESET):
                    if action is Action.RESET:
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    break
                flow.down_bytes += len(piece)
                client.sendall(piece)
        _close(client)
        _close(server)


def _close(open_socket: socket.socket) -> None:
    with contextlib.suppress(OSError):
        open_socket.shutdown(socket.SHUT_RDWR)
    open_socket.close()
