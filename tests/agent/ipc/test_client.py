"""The blocking client: its frames, and an agent that is absent, silent or of another version."""

import json
import socket
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
)

HELLO = {"event": "hello", "protocol": PROTOCOL, "app_version": "1"}


class ScriptedAgent:
    """Sends `messages` to the first client, each one after the first upon a frame from the client,
    then closes.
    """

    def __init__(self, path, *messages):
        self._messages = messages
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
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
    (tmp_path / "stale").touch()
    with pytest.raises(NoAgentError):
        Channel(tmp_path / "stale")


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


def test_a_response_is_its_result_or_its_error(tmp_path):
    assert decode_response({"id": 1, "result": {"a": 1}}) == {"a": 1}
    with pytest.raises(UserActionError) as raised:
        decode_response({"id": 1, "error": {"code": "X", "message": "M.", "remedy": "R."}})
    assert (raised.value.code, raised.value.message, raised.value.remedy) == ("X", "M.", "R.")
    with pytest.raises(PeerError):
        decode_response({"id": 1, "result": []})
    file = tmp_path / "answer"
    file.write_text(json.dumps({"b": 2}))
    assert decode_response({"id": 1, "result": {}, "file": str(file)}) == {"b": 2}
    assert not file.exists()


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
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        with pytest.raises(PeerError) as raised:
            Channel(path)
    assert raised.value.code == "AGENT_SILENT"
