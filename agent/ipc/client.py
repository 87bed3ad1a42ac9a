"""The local channel's frames and its blocking client. The agent's end is agent.ipc.server.

1. A frame is a 4-byte big-endian length and that many bytes of UTF-8 JSON (an object), at most
   MAX_FRAME_BYTES.
2. The agent speaks first: a hello with the protocol's version.
3. A response too large for a frame names a file beside the socket; the reader deletes it.

A client trusts nobody because of a name: before it sends anything it checks that the socket's
folder is this user's alone and that this user's program listens. A response can name one of the
agent's answer files, and no other file.
"""

import contextlib
import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from agent.errors import AegisError, PeerError, UserActionError
from agent.ipc.peer import is_this_user
from agent.ipc.private_folder import PrivateFolder

PROTOCOL = 2
MAX_FRAME_BYTES = 64 * 1024
FRAME_TIMEOUT_S = 2.0
"""A frame must be complete within this time of its first byte."""
HELLO_TIMEOUT_S = 20.0
"""An agent that starts on a busy machine listens before it can respond."""
CALL_TIMEOUT_S = 600.0
"""A scan of many files takes long. If the agent ends, the caller notices at once."""
MAX_ANSWER_BYTES = 64 * 1024 * 1024
_ANSWER_NAME = re.compile(r"answer-[0-9a-f]{16}\.json")


class NoAgentError(Exception):
    """No agent listens for this home."""


class FrameDecoder:
    """Decodes bytes into messages; buffers at most one unfinished frame."""

    def __init__(self) -> None:
        self._buffer = b""

    @property
    def is_inside_frame(self) -> bool:
        return bool(self._buffer)

    def feed(self, received: bytes) -> Iterator[dict[str, Any]]:
        """Yield each message that `received` completes.

        Raises PeerError BAD_FRAME. Then drop the connection.
        """
        self._buffer += received
        while len(self._buffer) >= 4:
            length = int.from_bytes(self._buffer[:4], "big")
            if length > MAX_FRAME_BYTES:
                raise _bad_frame(f"expected at most {MAX_FRAME_BYTES} bytes, got {length}")
            if len(self._buffer) < 4 + length:
                return
            body, self._buffer = self._buffer[4 : 4 + length], self._buffer[4 + length :]
            yield _message(body)


def encode(message: dict[str, Any]) -> bytes:
    """Return the frame of a message. Raises PeerError BAD_FRAME when it is too large."""
    # ASCII escapes also carry the bytes of a file name that are no text.
    body = json.dumps(message, separators=(",", ":")).encode()
    if len(body) > MAX_FRAME_BYTES:
        raise _bad_frame(f"expected at most {MAX_FRAME_BYTES} bytes, got {len(body)}")
    return len(body).to_bytes(4, "big") + body


def decode_response(response: dict[str, Any], folder: PrivateFolder) -> dict[str, Any]:
    """Return the result in a response, from its file in `folder` if it names one.

    Raises the error that the response carries as UserActionError, and PeerError BAD_FRAME.
    """
    if "error" in response:
        error = response["error"]
        if not isinstance(error, dict):
            raise _bad_frame("expected an error")
        raise UserActionError(
            str(error.get("code")), str(error.get("message")), str(error.get("remedy", ""))
        )
    result = response.get("result")
    if "file" in response:
        result = _message(_taken(folder, response["file"]))
    if not isinstance(result, dict):
        raise _bad_frame("expected a result")
    return dict(result)


def progress_of(message: dict[str, Any]) -> tuple[int, int]:
    """Return (done, total) of a progress event. Raises PeerError BAD_FRAME."""
    done, total = message.get("done"), message.get("total")
    if type(done) is not int or type(total) is not int or not 0 <= done <= total:
        raise _bad_frame("expected done and total")
    return done, total


def is_answer(name: object) -> bool:
    """Return whether this is the name of an answer file."""
    return isinstance(name, str) and _ANSWER_NAME.fullmatch(name) is not None


def check_peer(peer: socket.socket) -> None:
    """Raise UserActionError CHANNEL_FOREIGN unless a program of this user listens."""
    if not is_this_user(peer):
        raise UserActionError(
            "CHANNEL_FOREIGN",
            "A program of another user answers in place of your agent. Nothing was sent to it.",
            "End that program, or ask the administrator of this computer.",
        )


def check_hello(hello: dict[str, Any]) -> None:
    """Raise PeerError CHANNEL_VERSION unless this client understands the agent."""
    if hello.get("event") != "hello" or hello.get("protocol") != PROTOCOL:
        raise PeerError(
            "CHANNEL_VERSION",
            f"The running agent has another version ({hello.get('app_version')}).",
            "Quit it and start it again.",
        )


class Channel:
    """A blocking connection, for commands."""

    def __init__(self, path: Path, hello_timeout_s: float | None = None) -> None:
        """Connect and check the hello. `path`: the socket (agent.ipc.places).

        Raises NoAgentError, UserActionError CHANNEL_UNSAFE or CHANNEL_FOREIGN, PeerError
        CHANNEL_VERSION or AGENT_SILENT.
        """
        if not hasattr(socket, "AF_UNIX"):
            raise NoAgentError
        try:
            self._folder = PrivateFolder(path.parent)
        except FileNotFoundError as error:
            raise NoAgentError from error
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(HELLO_TIMEOUT_S if hello_timeout_s is None else hello_timeout_s)
        self._decoder = FrameDecoder()
        self._received: list[dict[str, Any]] = []
        self._call_id = 0
        try:
            self._open(path.name)
        except BaseException:
            self.close()
            raise

    def _open(self, name: str) -> None:
        try:
            self._socket.connect(self._folder.address(name))
            check_peer(self._socket)
            hello = self._receive()
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NoAgentError from error
        except OSError as error:
            raise PeerError(
                "AGENT_SILENT",
                "The agent does not respond.",
                "Wait a moment, or end it (aegis quit) and start it again.",
                str(error),
            ) from error
        check_hello(hello)
        self.app_version = str(hello.get("app_version"))

    def call(
        self,
        method: str,
        params: dict[str, Any],
        timeout_s: float = CALL_TIMEOUT_S,
        report: Callable[[int, int], None] = lambda *_: None,
    ) -> dict[str, Any]:
        """Send a call and wait for its result. `report` receives how many of its steps are done.

        Raises the error in the response, and PeerError AGENT_GONE.
        """
        self._call_id += 1
        try:
            self._socket.sendall(encode({"id": self._call_id, "method": method, "params": params}))
            self._socket.settimeout(timeout_s)
            while True:
                message = self._receive()
                if message.get("event") == "progress" and message.get("call") == self._call_id:
                    report(*progress_of(message))
                elif message.get("id") == self._call_id:
                    return decode_response(message, self._folder)
        except OSError as error:
            raise _gone(error) from error

    def events(self) -> Iterator[dict[str, Any]]:
        """Subscribe and yield each pushed status, until the agent ends."""
        self.call("subscribe", {})
        self._socket.settimeout(None)
        with contextlib.suppress(AegisError, OSError):
            while True:
                message = self._receive()
                if message.get("event") == "status":
                    yield message["status"]

    def close(self) -> None:
        self._socket.close()
        self._folder.close()

    def _receive(self) -> dict[str, Any]:
        while not self._received:
            received = self._socket.recv(65536)
            if not received:
                raise ConnectionResetError("the agent closed the connection")
            self._received.extend(self._decoder.feed(received))
        return self._received.pop(0)


def _taken(folder: PrivateFolder, name: object) -> bytes:
    """Read an answer file of the agent and remove it. Any other file is neither read nor removed.

    Raises PeerError BAD_FRAME.
    """
    if not isinstance(name, str) or not is_answer(name):
        raise _bad_frame("expected the name of an answer file")
    try:
        content = folder.read(name, MAX_ANSWER_BYTES)
        folder.remove(name)
    except (OSError, ValueError) as error:
        raise _bad_frame(f"the answer file cannot be read: {error}") from error
    return content


def _message(body: bytes) -> dict[str, Any]:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _bad_frame("not JSON") from error
    if not isinstance(message, dict):
        raise _bad_frame("expected an object")
    return message


def _bad_frame(detail: str) -> PeerError:
    return PeerError(
        "BAD_FRAME",
        "A message on the local channel could not be read.",
        "Nothing was changed.",
        detail,
    )


def _gone(error: OSError) -> PeerError:
    return PeerError("AGENT_GONE", "The agent ended before it responded.", "Try again.", str(error))
