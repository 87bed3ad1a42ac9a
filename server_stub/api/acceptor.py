"""Accepts the connections of a port, and holds no more of them than its caps permit.

1. A connection costs a descriptor and a few hundred bytes until its first byte arrives. Only then
   does it get buffers and TLS.
2. TLS must be complete `handshake_s` after the connection.
3. If accepting fails, for instance because no descriptor is left, accepting rests for a moment. It
   never spins, and the server stays alive.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any

from server_stub.api.connection_caps import OpenConnections

BACKLOG = 2048
ACCEPTS = 32
"""How many connections are accepted before the event loop does something else."""
REST_S = 0.1
LOG_EVERY_S = 60.0
LOG = logging.getLogger("aegisai.server")


class Ticket:
    """What a protocol tells the acceptor about its connection."""

    def __init__(
        self, connections: OpenConnections, number: int, forget: Callable[[int], object]
    ) -> None:
        self._connections = connections
        self._forget = forget
        self.number = number

    def speak(self) -> None:
        """A first byte has arrived."""
        self._connections.speak(self.number)

    def greet(self) -> None:
        """TLS is complete, without a certificate."""
        self._connections.greet(self.number)

    def prove(self, device: str) -> bool:
        """TLS is complete, with this certificate; False if the connection must end."""
        return self._connections.prove(self.number, device)

    def ask(self) -> None:
        """A request is in progress."""
        self._connections.ask(self.number)

    def rest(self) -> None:
        """No request is in progress."""
        self._connections.rest(self.number)

    def end(self) -> None:
        """The connection has ended. May be called again."""
        self._forget(self.number)


class Acceptor:
    """The listeners of one port. uvicorn uses it in place of an asyncio server."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        connections: OpenConnections,
        make_protocol: Callable[[Ticket], asyncio.Protocol],
        context: ssl.SSLContext | None,
        handshake_s: float,
    ) -> None:
        self.sockets = tuple(sockets)
        self.connections = connections
        self._make_protocol = make_protocol
        self._context = context
        self._handshake_s = handshake_s
        self._loop = asyncio.get_running_loop()
        self._closers: dict[int, Callable[[], object]] = {}
        """How to end each connection."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._logged_at = -LOG_EVERY_S
        self._is_closed = False
        for listener in self.sockets:
            listener.setblocking(False)
            self._loop.add_reader(listener.fileno(), self._accept, listener)

    def close(self) -> None:
        """Accept nothing more, and end every connection that has not finished its handshake."""
        self._is_closed = True
        for listener in self.sockets:
            if listener.fileno() >= 0:
                self._loop.remove_reader(listener.fileno())
                listener.close()
        for number in self.connections.early():
            self._end(number)

    async def wait_closed(self) -> None:
        """Wait for the handshakes that `close` has ended."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTS):
            try:
                connection, peer = listener.accept()
            except BlockingIOError:
                return
            except ConnectionError:
                continue  # It ended while it waited.
            except OSError as error:
                self._rest(listener, error)
                return
            self._admit(connection, peer)

    def _rest(self, listener: socket.socket, error: OSError) -> None:
        self._log("connections.not_accepted error=%s", error)
        if (oldest := self.connections.oldest()) is not None:
            self._end(oldest)
        self._loop.remove_reader(listener.fileno())

        def resume() -> None:
            if not self._is_closed:
                self._loop.add_reader(listener.fileno(), self._accept, listener)

        self._loop.call_later(REST_S, resume)

    def _admit(self, connection: socket.socket, peer: Any) -> None:
        admission = self.connections.admit(peer[0])
        if admission is None or admission.victim is not None:
            self._log(
                "connections.full open=%d refused=%d",
                len(self.connections),
                self.connections.refused,
            )
        if admission is None:
            connection.close()
            return
        if admission.victim is not None:
            self._end(admission.victim)
        connection.setblocking(False)
        deadline = self._loop.time() + self._handshake_s
        ticket = Ticket(self.connections, admission.number, self._forget)
        if _has_byte(connection):
            self._start(connection, ticket, deadline)
        else:
            self._await_first_byte(connection, ticket, deadline)

    def _await_first_byte(self, connection: socket.socket, ticket: Ticket, deadline: float) -> None:
        descriptor = connection.fileno()
        timer = self._loop.call_at(deadline, self._end, ticket.number)

        def stop_waiting() -> None:
            timer.cancel()
            self._loop.remove_reader(descriptor)

        def end() -> None:
            stop_waiting()
            connection.close()

        def readable() -> None:
            if _has_byte(connection):
                stop_waiting()
                self._start(connection, ticket, deadline)
            else:
                self._end(ticket.number)

        self._closers[ticket.number] = end
        self._loop.add_reader(descriptor, readable)

    def _start(self, connection: socket.socket, ticket: Ticket, deadline: float) -> None:
        """Give a connection its buffers."""
        ticket.speak()
        self._closers[ticket.number] = lambda: _shut(connection)
        task = self._loop.create_task(self._serve(connection, ticket, deadline))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: socket.socket, ticket: Ticket, deadline: float) -> None:
        """Complete the handshake; from then on the connection is the protocol's."""
        options: dict[str, Any] = {}
        if self._context is not None:
            left_s = max(deadline - self._loop.time(), REST_S)
            options = {"ssl": self._context, "ssl_handshake_timeout": left_s}
        try:
            transport, _ = await self._loop.connect_accepted_socket(
                lambda: self._make_protocol(ticket), connection, **options
            )
        except OSError as error:  # The handshake failed. The transport closes the socket.
            # The frames of the traceback hold the connection's buffers, and themselves.
            error.with_traceback(None)
            ticket.end()
        else:
            if ticket.number in self.connections:
                self._closers[ticket.number] = transport.abort

    def _end(self, number: int) -> None:
        """End a connection now."""
        closer = self._forget(number)
        if closer is not None:
            closer()

    def _forget(self, number: int) -> Callable[[], object] | None:
        self.connections.release(number)
        return self._closers.pop(number, None)

    def _log(self, event: str, *values: object) -> None:
        """Log an event, at most once a minute: whoever causes it can cause it often."""
        if (now_s := self._loop.time()) - self._logged_at >= LOG_EVERY_S:
            self._logged_at = now_s
            LOG.warning(event, *values)


def _has_byte(connection: socket.socket) -> bool:
    """Whether something has arrived, other than the connection's end."""
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except OSError:
        return False


def _shut(connection: socket.socket) -> None:
    """End a connection that a transport owns: closing its descriptor is up to the transport."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
