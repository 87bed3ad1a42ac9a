"""The blocking client: its frames, and an agent that is absent, silent or of another version."""

import json
import os
import threading

import pytest

from agent.errors import PeerError, UserActionError
from agent.ipc.client import (
    MAX_FRAME_BYTES,
    PROTOCOL,
    Channel,
    FrameDecoder,
    NoAgentError,
    decode_response,
    encode,
    is_answer,
)
from agent.ipc.private_folder import PrivateFolder

HELLO = {"event": "hello", "protocol": PROTOCOL, "app_version": "1"}


class ScriptedAgent:
    """Sends `messages` to the first client, each one after the first upon a frame from the client,
    then closes.
    """

    def __init__(self, path, *messages):
        self._messages = messages
        with PrivateFolder.make(path.parent) as folder:
            self._listener = folder.listen(path.name)
        self._listener.setblocking(True)
        self._thread = threading.Thread(target=self._serve)
        self.received = []

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._thread.join()
        self._listener.close()

    def _serve(self):
        client, _ = self._listener.accept()
        decoder = FrameDecoder()
        with client:
            for number, message in enumerate(self._messages):
                while number > len(self.received):
                    self.received.extend(decoder.feed(client.recv(65536)))
                client.sendall(b"".join(map(encode, message)))


def test_without_an_agent_a_client_says_so(tmp_path):
    with pytest.raises(NoAgentError):
        Channel(tmp_path / "none.sock")
    with PrivateFolder.make(tmp_path / "run") as folder:
        folder.listen("agent.sock").close()
    for path in (tmp_path / "run" / "agent.sock", tmp_path / "nowhere" / "agent.sock"):
        with pytest.raises(NoAgentError):
            Channel(path)


def test_frames_come_in_any_pieces():
    messages = [{"id": number, "text": "ε" * number} for number in range(5)]
    stream = b"".join(map(encode, messages))
    decoder = FrameDecoder()
    assert [
        found for place in range(len(stream)) for found in decoder.feed(stream[place : place + 1])
    ] == messages
    assert not decoder.is_inside_frame
    with pytest.raises(PeerError):
        encode({"text": "x" * MAX_FRAME_BYTES})


def test_p11_a_frame_that_is_too_large_or_no_object_is_refused():
    for stream in (
        (MAX_FRAME_BYTES + 1).to_bytes(4, "big"),
        b"\0\0\0\x02[]",
        b"\0\0\0\x02\xff\xff",
        b"\0\0\0\x00",
    ):
        with pytest.raises(PeerError) as raised:
            list(FrameDecoder().feed(stream))
        assert raised.value.code == "BAD_FRAME"


@pytest.fixture
def folder(tmp_path):
    with PrivateFolder.make(tmp_path / "run") as folder:
        yield folder


def test_a_response_is_its_result_or_its_error(folder):
    assert decode_response({"id": 1, "result": {"a": 1}}, folder) == {"a": 1}
    with pytest.raises(UserActionError) as raised:
        decode_response({"id": 1, "error": {"code": "X", "message": "M.", "remedy": "R."}}, folder)
    assert (raised.value.code, raised.value.message, raised.value.remedy) == ("X", "M.", "R.")
    for response in ({"id": 1, "result": []}, {"id": 1}, {"id": 1, "error": "no"}):
        with pytest.raises(PeerError):
            decode_response(response, folder)


def test_an_answer_in_a_file_is_read_and_removed(folder):
    name = "answer-0123456789abcdef.json"
    folder.write(name, json.dumps({"b": 2}).encode())
    assert decode_response({"id": 1, "result": {}, "file": name}, folder) == {"b": 2}
    assert folder.names() == []


@pytest.mark.parametrize(
    "name", ["{other}", "../diary.json", "diary.json", "answer-0123456789abcdef.json/../x", "", 7]
)
def test_p11_no_other_file_is_read_or_removed(tmp_path, folder, name):
    diary = tmp_path / "diary.json"
    diary.write_text('{"secret": 1}')
    (folder.path / "diary.json").write_text('{"secret": 2}')
    shown = name.format(other=diary) if isinstance(name, str) else name
    with pytest.raises(PeerError) as raised:
        decode_response({"id": 1, "result": {}, "file": shown}, folder)
    assert raised.value.code == "BAD_FRAME"
    assert not is_answer(shown)
    assert diary.exists()
    assert folder.names() == ["diary.json"]


@pytest.mark.parametrize("kind", ["link", "second name", "pipe", "folder", "large"])
def test_p11_an_answer_file_that_is_none_is_left_alone(tmp_path, folder, kind, monkeypatch):
    monkeypatch.setattr("agent.ipc.client.MAX_ANSWER_BYTES", 20)
    name = "answer-0123456789abcdef.json"
    path, diary = folder.path / name, tmp_path / "diary.json"
    diary.write_text('{"secret": 1}')
    match kind:
        case "link":
            path.symlink_to(diary)
        case "second name":
            path.hardlink_to(diary)
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "large":
            path.write_text(json.dumps({"a": "x" * 20}))
    with pytest.raises(PeerError) as raised:
        decode_response({"id": 1, "result": {}, "file": name}, folder)
    assert raised.value.code == "BAD_FRAME"
    assert diary.read_text() == '{"secret": 1}'
    assert folder.names() == [name]


def test_a_client_sends_nothing_to_a_program_of_another_user(tmp_path, monkeypatch):
    path = tmp_path / "run" / "agent.sock"
    monkeypatch.setattr("agent.ipc.client.is_this_user", lambda _: False)
    with PrivateFolder.make(path.parent) as folder, folder.listen(path.name) as listener:
        with pytest.raises(UserActionError) as raised:
            Channel(path)
        assert raised.value.code == "CHANNEL_FOREIGN"
        peer, _ = listener.accept()
        with peer:
            assert peer.recv(1) == b""


@pytest.mark.parametrize("mode", [0o777, 0o720, 0o702])
def test_a_folder_that_others_can_write_to_is_not_used(tmp_path, mode):
    path = tmp_path / "run" / "agent.sock"
    with PrivateFolder.make(path.parent) as folder, folder.listen(path.name):
        path.parent.chmod(mode)
        with pytest.raises(UserActionError) as raised:
            Channel(path)
    assert raised.value.code == "CHANNEL_UNSAFE"


def test_a_call_skips_pushed_events_and_other_responses(tmp_path):
    path = tmp_path / "agent.sock"
    status = {"event": "status", "status": {}}
    responses = [status, {"id": 7, "result": {}}, {"id": 1, "result": {"a": 1}}]
    with ScriptedAgent(path, [HELLO], responses) as agent:
        channel = Channel(path)
        assert channel.call("echo", {"b": 2}) == {"a": 1}
        channel.close()
    assert agent.received == [{"id": 1, "method": "echo", "params": {"b": 2}}]


def test_events_end_with_the_agent(tmp_path):
    path = tmp_path / "agent.sock"
    pushed = [{"id": 1, "result": {}}, *({"event": "status", "status": n} for n in range(3))]
    with ScriptedAgent(path, [HELLO], pushed):
        channel = Channel(path)
        assert list(channel.events()) == [0, 1, 2]
        channel.close()


@pytest.mark.parametrize(
    "hello", [{**HELLO, "protocol": PROTOCOL + 1}, {**HELLO, "event": "status"}, {}]
)
def test_another_version_of_the_agent_is_refused(tmp_path, hello):
    path = tmp_path / "agent.sock"
    with ScriptedAgent(path, [hello]):
        with pytest.raises(PeerError) as raised:
            Channel(path)
        assert raised.value.code == "CHANNEL_VERSION"


def test_an_agent_that_ends_is_reported_at_once(tmp_path):
    path = tmp_path / "agent.sock"
    with ScriptedAgent(path, [HELLO]):
        channel = Channel(path)
        with pytest.raises(PeerError) as raised:
            channel.call("echo", {})
        assert raised.value.code == "AGENT_GONE"
        channel.close()


def test_an_agent_that_says_nothing_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr("agent.ipc.client.HELLO_TIMEOUT_S", 0.05)
    path = tmp_path / "agent.sock"
    with (
        PrivateFolder.make(path.parent) as folder,
        folder.listen(path.name),
        pytest.raises(PeerError) as raised,
    ):
        Channel(path)
    assert raised.value.code == "AGENT_SILENT"
