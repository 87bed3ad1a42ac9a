"""The acceptor in an event loop, with real sockets and a protocol that echoes."""

import asyncio
import contextlib
import errno
import socket
import ssl

import pytest
import trustme

from server_stub.api import acceptor
from server_stub.api.acceptor import Acceptor
from server_stub.api.connection_caps import Caps, OpenConnections
from tests.fakes.timeouts import TIMEOUT_S

ROOMY = Caps(100, 100, 100)


class Echo(asyncio.Protocol):
    """Answers what it gets, and tells its ticket what it sees."""

    def __init__(self, ticket):
        self.ticket = ticket

    def connection_made(self, transport):
        self.transport = transport
        self.ticket.greet()

    def data_received(self, data):
        self.ticket.ask()
        self.transport.write(data)

    def connection_lost(self, exc):
        self.ticket.end()


class Running:
    """`async with Running(caps) as running:`."""

    def __init__(self, caps=ROOMY, *, context=None, handshake_s=TIMEOUT_S, listener=None):
        self.listener = listener or socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.connections = OpenConnections(caps)
        self.context, self.handshake_s = context, handshake_s
        self.writers = []

    async def __aenter__(self):
        self.acceptor = Acceptor(
            [self.listener], self.connections, Echo, self.context, self.handshake_s
        )
        return self

    async def __aexit__(self, *_):
        self.acceptor.close()
        await self.acceptor.wait_closed()
        for writer in self.writers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def connect(self, **options):
        pair = await asyncio.open_connection("127.0.0.1", self.port, **options)
        self.writers.append(pair[1])
        return pair

    async def idle(self):
        """A connection that the acceptor has counted and that sends nothing."""
        before = self.connections.admitted
        pair = await self.connect()
        await until(lambda: self.connections.admitted > before)
        return pair


async def until(condition):
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():
            await asyncio.sleep(0.005)


async def echo(reader, writer, text=b"hello"):
    writer.write(text)
    async with asyncio.timeout(TIMEOUT_S):
        return await reader.read(100)


async def ended(reader):
    """Whether the server ends the connection without a word."""
    async with asyncio.timeout(TIMEOUT_S):
        try:
            return await reader.read() == b""
        except ConnectionError:
            return True


@pytest.fixture(scope="module")
def contexts():
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


async def test_a_connection_that_speaks_is_served_and_counted_until_it_ends():
    async with Running() as running:
        reader, writer = await running.connect()
        assert await echo(reader, writer) == b"hello"
        assert len(running.connections) == 1
        writer.close()
        await until(lambda: len(running.connections) == 0)


async def test_tls_is_completed_with_whoever_speaks_it(contexts):
    server, client = contexts
    async with Running(context=server) as running:
        reader, writer = await running.connect(ssl=client, server_hostname="localhost")
        assert await echo(reader, writer) == b"hello"
        plain_reader, plain_writer = await running.connect()
        plain_writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await plain_reader.read()  # an alert, or nothing
        assert plain_reader.at_eof()
        writer.close()
        await until(lambda: len(running.connections) == 0)


@pytest.mark.parametrize("greeting", [b"", b"\x16\x03\x01"], ids=["silent", "half a greeting"])
async def test_tls_that_is_not_complete_in_time_ends_the_connection(contexts, greeting):
    async with Running(context=contexts[0], handshake_s=0.2) as running:
        reader, writer = await running.connect()
        writer.write(greeting)
        assert await ended(reader)
        await until(lambda: len(running.connections) == 0)


async def test_a_client_that_leaves_without_a_word_is_forgotten():
    async with Running() as running:
        _, writer = await running.idle()
        writer.close()
        await until(lambda: len(running.connections) == 0)


async def test_when_full_the_oldest_silent_connection_makes_room_for_a_new_one():
    async with Running(Caps(2, 2, 2)) as running:
        oldest, newer = await running.idle(), await running.idle()
        newest = await running.idle()
        assert await ended(oldest[0])
        assert await echo(*newer) == b"hello"
        assert await echo(*newest) == b"hello"


async def test_when_full_of_those_who_asked_a_new_one_is_refused_and_later_ones_served():
    async with Running(Caps(2, 2, 2)) as running:
        busy = [await running.connect() for _ in range(2)]
        for pair in busy:
            assert await echo(*pair) == b"hello"
        refused, _ = await running.connect()
        assert await ended(refused)
        busy[0][1].close()
        await until(lambda: len(running.connections) == 1)
        assert await echo(*await running.connect()) == b"hello"
        assert await echo(*busy[1]) == b"hello"


async def test_a_handshake_that_must_make_room_is_cut_off(contexts):
    async with Running(Caps(1, 1, 1), context=contexts[0]) as running:
        reader, writer = await running.idle()
        writer.write(b"\x16\x03\x01")
        await writer.drain()
        await running.idle()
        assert await ended(reader)
        assert len(running.connections) == 1


class Exhausted:
    """A listener that cannot accept while `error` is set."""

    def __init__(self, error):
        self.inner = socket.create_server(("127.0.0.1", 0))
        self.error = error
        self.attempts = 0

    def accept(self):
        if self.error is not None:
            self.attempts += 1
            raise self.error
        return self.inner.accept()

    def __getattr__(self, name):
        return getattr(self.inner, name)


@pytest.mark.parametrize(
    "number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EPROTO]
)
async def test_when_accepting_fails_it_rests_and_then_goes_on(number, monkeypatch, caplog):
    monkeypatch.setattr(acceptor, "REST_S", 0.05)
    listener = Exhausted(None)
    async with Running(listener=listener) as running:
        silent, _ = await running.idle()
        listener.error = OSError(number, "no more")
        waiting = await running.connect()
        await until(lambda: listener.attempts >= 3)
        assert await ended(silent)
        listener.error = None
        assert await echo(*waiting) == b"hello"
        assert caplog.text.count("connections.not_accepted") == 1


async def test_a_connection_that_ended_while_it_waited_is_skipped():
    listener = Exhausted(None)

    async with Running(listener=listener) as running:
        accept, failures = listener.inner.accept, [ConnectionAbortedError()]

        def sometimes():
            if failures:
                raise failures.pop()
            return accept()

        listener.accept = sometimes
        assert await echo(*await running.connect()) == b"hello"


async def test_closing_ends_whoever_waits_and_refuses_the_next(contexts):
    async with Running(context=contexts[0]) as running:
        silent, (half, writer) = await running.idle(), await running.idle()
        writer.write(b"\x16\x03\x01")
        await writer.drain()
        running.acceptor.close()
        assert await ended(silent[0])
        assert await ended(half)
        await running.acceptor.wait_closed()
        with pytest.raises(ConnectionRefusedError):
            await running.connect()
        assert len(running.connections) == 0
