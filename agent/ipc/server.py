"""The agent's end of the local channel: a Unix socket that only this user can reach.

1. The socket is in a folder of mode 0700 that this user owns, and the peer's user id is checked.
2. Each connection has one task that reads and one that writes, so a silent or slow client delays
   only itself. A frame must be complete within FRAME_TIMEOUT_S of its first byte, and a client that
   does not read for that long is dropped.
3. The status is pushed when it changes. A slow client gets the newest one, not all of them.
4. A malformed frame gets one error and ends its connection. An unknown method gets an error and
   changes nothing.
"""

import asyncio
import contextlib
import json
import logging
import os
import secrets
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from agent import __version__
from agent.errors import AegisError, InternalError, PeerError, UserActionError
from agent.ipc.client import FRAME_TIMEOUT_S, PROTOCOL, FrameDecoder, encode

log = logging.getLogger(__name__)

MAX_CLIENTS = 32
MAX_CALLS_IN_FLIGHT = 8
"""For each client."""
FLUSH_TIMEOUT_S = 0.5
"""How long a closing connection may take to write what is queued."""

Call = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]


class ChannelServer:
    """Listens until closed.

    `call` runs a method and returns its result. `status` returns the value to push.
    """

    def __init__(self, path: Path, call: Call, status: Callable[[], dict[str, Any]]) -> None:
        self._path = path
        self._call = call
        self._status = status
        self._clients: set[_Client] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Start to listen. The caller has the home's lock, so a socket found here is stale.

        Raises UserActionError CHANNEL_UNSAFE.
        """
        _private_folder(self._path.parent)
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._accept, os.fspath(self._path))
        self._path.chmod(0o600)

    def push(self) -> None:
        """Send the status to every subscribed client."""
        for client in self._clients:
            client.push_status()

    async def close(self) -> None:
        """Stop listening. Writes queued responses, within FLUSH_TIMEOUT_S."""
        if self._server is not None:
            self._server.close()
        for client in list(self._clients):
            await client.flush()
            client.drop()
        if self._serving:
            await asyncio.wait(self._serving, timeout=FLUSH_TIMEOUT_S)
        self._path.unlink(missing_ok=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) >= MAX_CLIENTS or not _same_user(writer.get_extra_info("socket")):
            writer.transport.abort()
            return
        client = _Client(reader, writer, self._call, self._status, self._path.parent)
        self._clients.add(client)
        task = asyncio.create_task(client.serve())
        self._serving.add(task)

        def ended(_: object) -> None:
            self._clients.discard(client)
            self._serving.discard(task)

        task.add_done_callback(ended)


class _Client:
    """One connection, from its hello to its end."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        call: Call,
        status: Callable[[], dict[str, Any]],
        folder: Path,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._call = call
        self._status = status
        self._folder = folder
        self._outgoing: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=64)
        self._subscribed = False
        self._status_queued = False
        self._calls: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def serve(self) -> None:
        """Read and write until either ends."""
        self._send({"event": "hello", "protocol": PROTOCOL, "app_version": __version__})
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._write())]
        try:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.drop()

    def push_status(self) -> None:
        """Queue the status, unless one is queued: it is read only when it is written."""
        if self._subscribed and not self._status_queued:
            self._status_queued = True
            self._queue(None)

    async def flush(self) -> None:
        """Wait until the queue is written, within FLUSH_TIMEOUT_S."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_TIMEOUT_S):
                await self._outgoing.join()

    def drop(self) -> None:
        for task in (*self._tasks, *self._calls):
            task.cancel()
        self._writer.transport.abort()

    async def _read(self) -> None:
        decoder = FrameDecoder()
        loop = asyncio.get_running_loop()
        deadline: float | None = None
        with contextlib.suppress(TimeoutError, ConnectionError):
            while True:
                async with asyncio.timeout_at(deadline):
                    received = await self._reader.read(65536)
                if not received:
                    return
                try:
                    for message in decoder.feed(received):
                        deadline = None
                        self._take(message)
                except PeerError as error:
                    await self._refuse(error)
                    return
                if not decoder.is_inside_frame:
                    deadline = None
                elif deadline is None:
                    deadline = loop.time() + FRAME_TIMEOUT_S

    async def _refuse(self, error: PeerError) -> None:
        """Send the error and wait until it is written, before the connection ends."""
        self._send({"id": None, "error": error.to_json()})
        await self.flush()

    async def _write(self) -> None:
        with contextlib.suppress(TimeoutError, ConnectionError):
            while True:
                frame = await self._outgoing.get()
                if frame is None:
                    self._status_queued = False
                    frame = encode({"event": "status", "status": self._status()})
                self._writer.write(frame)
                async with asyncio.timeout(FRAME_TIMEOUT_S):
                    await self._writer.drain()
                self._outgoing.task_done()

    def _take(self, message: dict[str, Any]) -> None:
        call_id, method, params = (
            message.get("id"),
            message.get("method"),
            message.get("params", {}),
        )
        if (
            not set(message) <= {"id", "method", "params"}
            or not isinstance(call_id, int)
            or not isinstance(method, str)
            or not isinstance(params, dict)
        ):
            raise PeerError(
                "BAD_FRAME", "A request needs id, method and params.", "Nothing was changed."
            )
        if len(self._calls) >= MAX_CALLS_IN_FLIGHT:
            self._send(
                {
                    "id": call_id,
                    "error": UserActionError(
                        "TOO_MANY_CALLS", "Too many calls at once.", "Wait for a response."
                    ).to_json(),
                }
            )
            return
        task = asyncio.create_task(self._respond(call_id, method, params))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _respond(self, call_id: int, method: str, params: dict[str, Any]) -> None:
        if method == "subscribe":
            self._subscribed = True
            self._send({"id": call_id, "result": {}})
            self.push_status()
            return
        try:
            response: dict[str, Any] = {"id": call_id, "result": await self._call(method, params)}
        except AegisError as error:
            response = {"id": call_id, "error": error.to_json()}
        except Exception:  # broad on purpose: a bug in one method must not end the agent
            log.exception("call.failed method=%s", method)
            response = {
                "id": call_id,
                "error": InternalError(
                    "INTERNAL", "Something went wrong inside AegisAI.", "See the log."
                ).to_json(),
            }
        self._send(response)

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._queue(encode(message))
        except PeerError:
            self._queue(
                encode({"id": message["id"], "result": {}, "file": self._spill(message["result"])})
            )

    def _spill(self, result: dict[str, Any]) -> str:
        """Write a result that is too large for a frame to a private file; returns its path."""
        path = self._folder / f"answer-{secrets.token_hex(8)}.json"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(result, file)
        return os.fspath(path)

    def _queue(self, frame: bytes | None) -> None:
        try:
            self._outgoing.put_nowait(frame)
        except asyncio.QueueFull:
            self.drop()


def _private_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = folder.lstat()
    if facts.st_uid != os.getuid() or not folder.is_dir() or folder.is_symlink():
        raise UserActionError(
            "CHANNEL_UNSAFE",
            "The folder for the local channel does not belong to you alone.",
            "Set XDG_RUNTIME_DIR to a folder that you own.",
        )
    folder.chmod(0o700)
    for leftover in folder.glob("answer-*.json"):
        leftover.unlink(missing_ok=True)


def _same_user(peer: socket.socket) -> bool:
    """Whether the peer runs as this user, according to the kernel."""
    platform: str = sys.platform
    if platform == "linux":
        credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return bool(struct.unpack("3i", credentials)[1] == os.getuid())
    if platform == "darwin":
        # SOL_LOCAL, LOCAL_PEERCRED: struct xucred begins with the version and the uid.
        credentials = peer.getsockopt(0, 1, 76)
        return bool(struct.unpack_from("2I", credentials)[1] == os.getuid())
    return False
