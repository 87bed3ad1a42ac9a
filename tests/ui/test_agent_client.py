"""The client against the real channel server, which runs in a thread of its own."""

import asyncio
import gc
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from PySide6.QtNetwork import QLocalServer

from agent.errors import UserActionError
from agent.ipc.client import encode
from agent.ipc.private_folder import PrivateFolder
from agent.ipc.server import ChannelServer
from agent.paths import Home
from agent.status import AgentState
from tests.fakes import agent_client as fakes
from tests.fakes.timeouts import TIMEOUT_S
from ui.agent_client import AgentClient


class Host:
    """An agent's channel whose methods and status a test sets."""

    def __init__(self, path):
        self.path = path
        self.status = fakes.waiting()
        self.calls = []
        self.loop = asyncio.new_event_loop()
        self.server = None

    async def call(self, method, params, report):
        self.calls.append((method, params))
        match method:
            case "hang":
                await asyncio.sleep(3600)
            case "refuse":
                raise UserActionError("NO_CONSENT", "No.", "Ask.")
            case "large":
                return {"text": "x" * 200_000}
        return {"echo": params}

    async def _open(self):
        self.server = ChannelServer(lambda: self.path, self.call, lambda: self.status.to_json())
        await self.server.open()

    def push(self, status):
        self.status = status
        self.loop.call_soon_threadsafe(self.server.push)


@contextmanager
def agent(path):
    host = Host(path)
    thread = threading.Thread(target=host.loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(host._open(), host.loop).result(TIMEOUT_S)
    try:
        yield host
    finally:
        asyncio.run_coroutine_threadsafe(host.server.close(), host.loop).result(TIMEOUT_S)
        host.loop.call_soon_threadsafe(host.loop.stop)
        thread.join(TIMEOUT_S)
        host.loop.close()


@pytest.fixture(autouse=True)
def collect_here():
    """Collect in this thread only: Qt's objects must not be destroyed in the server's thread."""
    gc.disable()
    yield
    gc.collect()
    gc.enable()


@pytest.fixture
def path(tmp_path):
    return Home(tmp_path).run / "agent.sock"


@pytest.fixture
def client(tmp_path, qapp):
    client = AgentClient(Home(tmp_path))
    yield client
    client.close()


def test_the_status_is_pushed_at_once_and_at_every_change(qtbot, client, path):
    with agent(path) as host:
        with qtbot.waitSignal(client.statusChanged) as first:
            client.open()
        assert first.args == [fakes.waiting()]
        with qtbot.waitSignal(client.statusChanged) as second:
            host.push(fakes.status(AgentState.TRAINING))
        assert second.args[0].state is AgentState.TRAINING
        assert client.status is second.args[0]


def test_a_call_gets_its_result_or_its_error(qtbot, client, path):
    with agent(path) as host:
        with qtbot.waitSignal(client.statusChanged):
            client.open()
        answers, errors = [], []
        client.call("echo", {"a": 1}, answers.append)
        client.call("refuse", {}, answers.append, errors.append)
        qtbot.waitUntil(lambda: bool(answers and errors))
        assert answers == [{"echo": {"a": 1}}]
        assert errors[0].code == "NO_CONSENT"
        assert ("echo", {"a": 1}) in host.calls


def test_what_arrives_is_made_printable(qtbot, client, path):
    with agent(path):
        with qtbot.waitSignal(client.statusChanged):
            client.open()
        answers = []
        client.call(
            "echo", {"name": "gpj\u202eexe\x1b[31m\udcff", "more": ["a\nb"]}, answers.append
        )
        qtbot.waitUntil(lambda: bool(answers))
        shown = {"name": "gpj\\u202eexe\\x1b[31m\\xff", "more": ["a\\nb"]}
        assert answers == [{"echo": shown}]


def test_an_error_without_a_callback_is_announced(qtbot, client, path):
    with agent(path):
        with qtbot.waitSignal(client.statusChanged):
            client.open()
        with qtbot.waitSignal(client.callFailed) as failed:
            client.call("refuse")
        assert failed.args[0].code == "NO_CONSENT"


def test_a_large_answer_arrives_by_file_and_the_file_is_removed(qtbot, client, path):
    with agent(path):
        with qtbot.waitSignal(client.statusChanged):
            client.open()
        answers = []
        client.call("large", {}, answers.append)
        qtbot.waitUntil(lambda: bool(answers))
        assert len(answers[0]["text"]) == 200_000
        assert list(path.parent.glob("answer-*")) == []


def test_without_an_agent_a_call_fails_at_once(client):
    errors = []
    client.open()
    client.call("pause", {}, None, errors.append)
    assert [error.code for error in errors] == ["NO_AGENT"]


def test_an_agent_that_starts_late_is_found_and_one_that_ends_is_noticed(qtbot, client, path):
    client.open()
    with qtbot.waitSignal(client.statusChanged), agent(path):
        qtbot.waitUntil(lambda: client.is_connected)
        errors = []
        client.call("hang", {}, None, errors.append)
        qtbot.waitUntil(lambda: client.status is not None)
    qtbot.waitUntil(lambda: not client.is_connected)
    assert [error.code for error in errors] == ["NO_AGENT"]
    assert client.status is None
    with agent(path), qtbot.waitSignal(client.statusChanged):
        pass


@pytest.mark.parametrize(
    ("hello", "code"),
    [
        (encode({"event": "hello", "protocol": 99, "app_version": "9"}), "CHANNEL_VERSION"),
        (b"\xff\xff\xff\xff", "BAD_FRAME"),
        (encode({"event": "status", "status": {"state": "odd"}}), "BAD_STATUS"),
    ],
)
def test_p11_another_protocol_is_refused_in_one_sentence(qtbot, qapp, client, path, hello, code):
    folder = PrivateFolder.make(path.parent)
    server = QLocalServer()
    assert server.listen(folder.address(path.name))

    def greet():
        peer = server.nextPendingConnection()
        peer.write(hello)
        peer.flush()

    server.newConnection.connect(greet)
    with qtbot.waitSignal(client.callFailed) as failed:
        client.open()
    assert failed.args[0].code == code
    assert not client.is_connected
    server.close()
    folder.close()


def test_nothing_is_read_from_or_sent_to_a_program_of_another_user(
    qtbot, client, path, monkeypatch
):
    monkeypatch.setattr("agent.ipc.client.is_this_user", lambda _: False)
    with PrivateFolder.make(path.parent) as folder, folder.listen(path.name) as listener:
        with qtbot.waitSignal(client.callFailed) as failed:
            client.open()
        assert failed.args[0].code == "CHANNEL_FOREIGN"
        assert not client.is_connected
        peer, _ = listener.accept()
        with peer:
            assert peer.recv(1) == b""


def test_a_folder_that_others_can_write_to_is_not_used(qtbot, client, path):
    with agent(path):
        path.parent.chmod(0o777)
        with qtbot.waitSignal(client.callFailed) as failed:
            client.open()
        assert failed.args[0].code == "CHANNEL_UNSAFE"
        path.parent.chmod(0o700)
        qtbot.waitUntil(lambda: client.is_connected)


def test_the_descriptors_of_lost_connections_are_closed(qtbot, client, path):
    with agent(path), qtbot.waitSignal(client.statusChanged):
        client.open()
    qtbot.waitUntil(lambda: not client.is_connected)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        client.open()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1


def test_p11_a_request_that_is_too_large_is_refused_before_it_is_sent(qtbot, client, path):
    with agent(path):
        with qtbot.waitSignal(client.statusChanged):
            client.open()
        errors = []
        client.call("enroll", {"invitation": "x" * 70_000}, None, errors.append)
        assert [error.code for error in errors] == ["BAD_FRAME"]
