"""The local channel against clients that are malformed, slow, silent or too many."""

import asyncio
import contextlib
import itertools
import json
import os
import select
import socket
import stat

import pytest

from agent.errors import UserActionError
from agent.ipc.client import MAX_FRAME_BYTES, Channel, FrameDecoder, encode
from agent.ipc.server import MAX_CLIENTS, ChannelServer


class Host:
    """A channel with methods of the test's own."""

    def __init__(self, path):
        self.path = path
        self.calls = []
        self.gate = asyncio.Event()
        self.value = 0
        self.server = ChannelServer(lambda: path, self.call, lambda: {"value": self.value})

    async def call(self, method, params, report):
        self.calls.append(method)
        if method == "wait":
            await self.gate.wait()
        if method == "steps":
            for done in range(3):
                report(done, 2)
        if method == "refuse":
            raise UserActionError("NO_CONSENT", "No.", "Ask.")
        if method == "break":
            raise ZeroDivisionError
        if method == "large":
            return {"text": "x" * (2 * MAX_FRAME_BYTES)}
        return {"method": method, **params}


class Client:
    """A raw connection."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.decoder = FrameDecoder()
        self.waiting = []

    async def receive(self):
        while not self.waiting:
            received = await asyncio.wait_for(self.reader.read(65536), 60)
            if not received:
                raise EOFError
            self.waiting.extend(self.decoder.feed(received))
        return self.waiting.pop(0)

    async def ask(self, number, method, **params):
        self.writer.write(encode({"id": number, "method": method, "params": params}))
        while True:
            message = await self.receive()
            if message.get("id") == number:
                return message

    async def is_closed(self):
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                await self.receive()
        return True


@contextlib.asynccontextmanager
async def hosted(folder):
    host = Host(folder / "run" / "agent.sock")
    await host.server.open()
    clients = []

    async def connect():
        client = Client(*await asyncio.open_unix_connection(os.fspath(host.path)))
        clients.append(client)
        assert (await client.receive())["event"] == "hello"
        return client

    try:
        yield host, connect
    finally:
        for client in clients:
            client.writer.transport.abort()
        await host.server.close()


async def test_a_call_returns_its_result_or_its_error(tmp_path):
    async with hosted(tmp_path) as (_, connect):
        client = await connect()
        assert (await client.ask(1, "echo", a=1))["result"] == {"method": "echo", "a": 1}
        assert (await client.ask(2, "refuse"))["error"] == {
            "code": "NO_CONSENT",
            "message": "No.",
            "remedy": "Ask.",
        }


async def test_a_bug_in_a_method_ends_neither_agent_nor_connection(tmp_path, caplog):
    async with hosted(tmp_path) as (_, connect):
        client = await connect()
        assert (await client.ask(1, "break"))["error"]["code"] == "INTERNAL"
        assert (await client.ask(2, "echo"))["result"]["method"] == "echo"
    assert "call.failed method=break" in caplog.text


async def test_the_socket_and_its_folder_are_the_users_own(tmp_path):
    async with hosted(tmp_path) as (host, _):
        assert stat.S_IMODE(host.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(host.path.parent.stat().st_mode) == 0o700


async def test_a_folder_of_another_user_is_not_used(tmp_path, monkeypatch):
    host = Host(tmp_path / "run" / "agent.sock")
    monkeypatch.setattr("os.geteuid", lambda: 4242)
    with pytest.raises(UserActionError) as raised:
        await host.server.open()
    assert raised.value.code == "CHANNEL_UNSAFE"


@pytest.mark.parametrize(
    "frame",
    [
        b"\xff\xff\xff\xff",
        (MAX_FRAME_BYTES + 1).to_bytes(4, "big"),
        b"\0\0\0\x02[]",
        b"\0\0\0\x04nope",
        b"\0\0\0\x00",
        b"\0\0\0\x02\xff\xfe",
        encode({"id": "1", "method": "echo"}),
        encode({"id": 1, "method": 3}),
        encode({"id": 1, "method": "echo", "params": []}),
        encode({"id": 1, "method": "echo", "more": 1}),
        encode({"id": True}),
        (60_000).to_bytes(4, "big") + b"[" * 60_000,
    ],
)
async def test_p11_a_malformed_frame_ends_its_connection_only(tmp_path, frame):
    async with hosted(tmp_path) as (host, connect):
        bad, good = await connect(), await connect()
        bad.writer.write(frame)
        assert (await bad.receive())["error"]["code"] == "BAD_FRAME"
        assert await bad.is_closed()
        assert (await good.ask(1, "echo"))["result"]["method"] == "echo"
        assert host.calls == ["echo"]


async def test_p11_an_unfinished_frame_delays_nobody_and_is_cut_off(tmp_path, monkeypatch):
    async with hosted(tmp_path) as (_, connect):
        slow, good = await connect(), await connect()
        monkeypatch.setattr("agent.ipc.server.FRAME_TIMEOUT_S", 3600)
        frame = encode({"id": 1, "method": "echo", "params": {}})
        slow.writer.write(frame[:5])
        assert (await good.ask(1, "echo"))["id"] == 1
        slow.writer.write(frame[5:])
        assert (await slow.receive())["id"] == 1
        monkeypatch.setattr("agent.ipc.server.FRAME_TIMEOUT_S", 0.2)
        other = await connect()
        other.writer.write(frame[:5])
        assert await other.is_closed()
        assert (await good.ask(2, "echo"))["id"] == 2


async def test_an_idle_client_is_kept_beyond_the_timeout_of_a_frame(tmp_path, monkeypatch):
    monkeypatch.setattr("agent.ipc.server.FRAME_TIMEOUT_S", 0.05)
    async with hosted(tmp_path) as (_, connect):
        idle, unfinished = await connect(), await connect()
        await idle.ask(1, "echo")
        unfinished.writer.write(b"\0\0\0\x50{")
        assert await unfinished.is_closed()  # so the timeout has passed for both
        assert (await idle.ask(2, "echo"))["id"] == 2


async def test_status_is_pushed_and_the_newest_wins(tmp_path):
    async with hosted(tmp_path) as (host, connect):
        client, other = await connect(), await connect()
        await client.ask(1, "subscribe")
        assert (await client.receive())["status"] == {"value": 0}
        for value in range(1, 50):
            host.value = value
            host.server.push()
        assert (await client.receive())["status"] == {"value": 49}
        await other.ask(1, "echo")
        assert client.waiting == []


async def test_a_client_that_never_reads_is_dropped_and_delays_nobody(tmp_path, monkeypatch):
    monkeypatch.setattr("agent.ipc.server.FRAME_TIMEOUT_S", 0.5)
    async with hosted(tmp_path) as (host, connect):
        good = await connect()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
            silent.connect(os.fspath(host.path))
            silent.sendall(encode({"id": 1, "method": "subscribe", "params": {}}))
            host.value = "x" * 60_000
            calls = itertools.count(1)
            while not has_hung_up(silent):
                host.server.push()
                call = next(calls)
                assert (await good.ask(call, "echo"))["id"] == call
        assert (await good.ask(0, "echo"))["id"] == 0


def has_hung_up(connection):
    """Whether the other end has closed, unread bytes or not."""
    poll = select.poll()
    poll.register(connection, 0)
    return bool(poll.poll(0))


async def test_a_response_too_large_for_a_frame_is_a_private_file(tmp_path):
    async with hosted(tmp_path) as (host, connect):
        client = await connect()
        answer = await client.ask(1, "large")
        path = host.path.parent / answer["file"].rpartition("/")[2]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert len(json.loads(path.read_text())["text"]) == 2 * MAX_FRAME_BYTES
        channel = await asyncio.to_thread(Channel, host.path)
        assert (
            len((await asyncio.to_thread(channel.call, "large", {}))["text"]) == 2 * MAX_FRAME_BYTES
        )
        channel.close()
        assert list(host.path.parent.glob("answer-*")) == [path]


async def test_a_long_call_does_not_hold_up_others_and_too_many_are_refused(tmp_path):
    async with hosted(tmp_path) as (host, connect):
        client = await connect()
        for number in range(1, 9):
            client.writer.write(encode({"id": number, "method": "wait", "params": {}}))
        assert (await client.ask(20, "echo"))["error"]["code"] == "TOO_MANY_CALLS"
        host.gate.set()
        for _ in range(8):
            assert "result" in await client.receive()
        assert "result" in await client.ask(21, "echo")


async def test_too_many_clients_are_turned_away(tmp_path):
    async with hosted(tmp_path) as (host, connect):
        for _ in range(MAX_CLIENTS):
            await connect()
        reader, writer = await asyncio.open_unix_connection(os.fspath(host.path))
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 60) == b""
        writer.transport.abort()


async def test_an_answer_too_large_for_a_frame_is_a_file_beside_the_socket(tmp_path):
    async with hosted(tmp_path) as (host, connect):
        response = await (await connect()).ask(1, "large")
        path = host.path.parent / response["file"]
        assert json.loads(path.read_bytes()) == {"text": "x" * (2 * MAX_FRAME_BYTES)}
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        await host.server.open()
        assert list(host.path.parent.iterdir()) == [host.path]  # nobody can ask for it any more


async def test_an_answer_that_is_too_large_or_cannot_be_written_is_an_error(tmp_path, monkeypatch):
    async with hosted(tmp_path) as (_, connect):
        client = await connect()
        with monkeypatch.context() as patch:
            patch.setattr("agent.ipc.server.MAX_ANSWER_BYTES", 10)
            assert (await client.ask(1, "large"))["error"]["code"] == "RESULT_TOO_LARGE"

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("agent.ipc.private_folder.PrivateFolder.write", full)
        assert (await client.ask(2, "large"))["error"]["code"] == "DISK_FULL"
        assert (await client.ask(3, "echo"))["result"]


async def test_a_program_of_another_user_gets_no_greeting(tmp_path, monkeypatch):
    monkeypatch.setattr("agent.ipc.server.is_this_user", lambda _: False)
    async with hosted(tmp_path) as (host, _):
        reader, writer = await asyncio.open_unix_connection(os.fspath(host.path))
        writer.write(encode({"id": 1, "method": "echo"}))
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 60) == b""
        writer.transport.abort()
    assert host.calls == []


async def test_closing_removes_our_own_socket_only(tmp_path):
    async with hosted(tmp_path) as (host, _):
        assert host.server.is_reachable
        host.path.unlink()
        assert not host.server.is_reachable
        host.path.write_text("somebody else's")
    assert host.path.read_text() == "somebody else's"


async def test_after_its_folder_was_replaced_a_channel_greets_its_clients_anew(tmp_path):
    """Their answer files would be in the old folder."""
    async with hosted(tmp_path) as (host, connect):
        client = await connect()
        host.path.parent.rename(tmp_path / "moved")
        await host.server.open()
        assert await client.is_closed()
        assert (await (await connect()).ask(1, "echo"))["result"]


async def test_a_long_call_reports_its_progress_to_its_caller_only(tmp_path):
    async with hosted(tmp_path) as (host, connect):
        other = await connect()
        seen = []

        def ask():
            channel = Channel(host.path)
            answer = channel.call("steps", {}, report=lambda *step: seen.append(step))
            channel.close()
            return answer

        assert await asyncio.to_thread(ask) == {"method": "steps"}
        assert seen == [(0, 2), (1, 2), (2, 2)]
        assert (await other.ask(1, "anything"))["result"] == {"method": "anything"}
