"""The local channel's frames and its blocking client. The agent's end is agent.ipc.server.

1. A frame is a 4-byte big-endian length and that many bytes of UTF-8 JSON (an object), at most
   MAX_FRAME_BYTES.
2. The agent speaks first: a hello with the protocol's version.
3. A response too large for a frame names a file in the runtime folder; the reader deletes it.
"""

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.errors import AegisError, PeerError, UserActionError
from agent.paths import runtime_folder, socket_path

PROTOCOL = 1
MAX_FRAME_BYTES = 64 * 1024
FRAME_TIMEOUT_S = 2.0
"""A frame must be complete within this time of its first byte."""
HELLO_TIMEOUT_S = 20.0
"""An agent that starts on a busy machine listens before it can respond."""
CALL_TIMEOUT_S = 600.0
"""A scan of many files takes long. If the agent ends, the caller notices at once."""

__all__ = [
    "FRAME_TIMEOUT_S",
    "MAX_FRAME_BYTES",
    "PROTOCOL",
    "Channel",
    "FrameDecoder",
    "NoAgentError",
    "decode_response",
    "encode",
    "runtime_folder",
    "socket_path",
]


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


def decode_response(response: dict[str, Any]) -> dict[str, Any]:
    """Return the result in a response, from its file if it names one.

    Raises the error that the response carries as UserActionError, and PeerError BAD_FRAME.
    """
    if "error" in response:
        error = response["error"]
        raise UserActionError(
            str(error.get("code")), str(error.get("message")), str(error.get("remedy", ""))
        )
    result = response.get("result")
    if not isinstance(result, dict):
        raise _bad_frame("a response without a result")
    if "file" in response:
        path = Path(str(response["file"]))
        result = json.loads(path.read_bytes())
        path.unlink()
    return dict(result)


class Channel:
    """A blocking connection, for commands."""

    def __init__(self, path: Path) -> None:
        """Connect and check the hello.

        Raises NoAgentError, PeerError CHANNEL_VERSION or AGENT_SILENT.
        """
        if not hasattr(socket, "AF_UNIX"):
            raise NoAgentError
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(HELLO_TIMEOUT_S)
        self._decoder = FrameDecoder()
        self._received: list[dict[str, Any]] = []
        self._call_id = 0
        try:
            self._socket.connect(os.fspath(path))
            hello = self._receive()
        except (FileNotFoundError, ConnectionRefusedError) as error:
            self._socket.close()
            raise NoAgentError from error
        except OSError as error:
            self._socket.close()
            raise PeerError(
                "AGENT_SILENT",
                "The agent does not respond.",
                "Wait a moment, or end it (aegis quit) and start it again.",
                str(error),
            ) from error
        if hello.get("event") != "hello" or hello.get("protocol") != PROTOCOL:
            self.close()
            raise PeerError(
                "CHANNEL_VERSION",
                f"The running agent has another version ({hello.get('app_version')}).",
                "Quit it and start it again.",
            )

    def call(
        self, method: str, params: dict[str, Any], timeout_s: float = CALL_TIMEOUT_S
    ) -> dict[str, Any]:
        """Send a call and wait for its result.

        Raises the error in the response, and PeerError AGENT_GONE.
        """
        self._call_id += 1
        try:
            self._socket.sendall(encode({"id": self._call_id, "method": method, "params": params}))
            self._socket.settimeout(timeout_s)
            while True:
                message = self._receive()
                if message.get("id") == self._call_id:
                    return decode_response(message)
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

    def _receive(self) -> dict[str, Any]:
        while not self._received:
            received = self._socket.recv(65536)
            if not received:
                raise ConnectionResetError("the agent closed the connection")
            self._received.extend(self._decoder.feed(received))
        return self._received.pop(0)


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
