"""The agent's end of the local channel: a Unix socket that only this user can reach.

1. The socket is in a folder that is this user's alone, and the peer's user id is checked. Whoever
   loses the socket can make it anew; connections that exist go on.
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
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from agent import __version__
from agent.errors import AegisError, InternalError, PeerError, UserActionError
from agent.ipc.client import (
    FRAME_TIMEOUT_S,
    MAX_ANSWER_BYTES,
    PROTOCOL,
    FrameDecoder,
    encode,
    is_answer,
)
from agent.ipc.peer import is_this_user
from agent.ipc.private_folder import PrivateFolder

log = logging.getLogger(__name__)

MAX_CLIENTS = 32
MAX_CALLS_IN_FLIGHT = 8
"""For each client."""
FLUSH_TIMEOUT_S = 0.5
"""How long a closing connection may take to write what is queued."""

Report = Callable[[int, int], None]
Call = Callable[[str, dict[str, Any], Report], Awaitable[dict[str, Any]]]


class ChannelServer:
    """Listens until closed.

    `call` runs a method, reports the steps that are done and returns its result. `status` returns
    the value to push.
    """

    def __init__(
        self,
        place: Callable[[], Path],
        call: Call,
        status: Callable[[], dict[str, Any]],
        session: str = "",
    ) -> None:
        """`place` returns where the socket can be made. `session`: the login whose icon started
        this agent, or empty.
        """
        self._place = place
        self._hello = {
            "event": "hello",
            "protocol": PROTOCOL,
            "app_version": __version__,
            "session": session,
        }
        self._call = call
        self._status = status
        self._clients: set[_Client] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._folder: PrivateFolder | None = None
        self._name = ""
        self._inode: tuple[int, int] | None = None

    async def open(self) -> None:
        """Start to listen, or listen at a new socket. The caller has the home's lock, so a socket
        found here is stale.

        Raises OSError, UserActionError CHANNEL_UNSAFE, NO_SOCKETS.
        """
        path = self._place()
        folder = PrivateFolder.make(path.parent)
        try:
            for name in folder.names():
                if is_answer(name):
                    folder.remove(name)
            listener = folder.listen(path.name)
        except BaseException:
            folder.close()
            raise
        if self._folder is not None and not self._folder.is_in_place():
            for client in list(self._clients):  # they would look for answers in the old folder
                client.drop()
        self._stop_listening()
        self._folder, self._name, self._inode = folder, path.name, folder.inode(path.name)
        self._server = await asyncio.start_unix_server(self._accept, sock=listener)

    @property
    def is_reachable(self) -> bool:
        """Whether the socket still has its name."""
        return (
            self._folder is not None
            and self._folder.is_in_place()
            and self._folder.inode(self._name) == self._inode
        )

    @property
    def folder(self) -> Path | None:
        """The folder of the socket, while it listens."""
        return self._folder.path if self._folder is not None else None

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
        if self._folder is not None and self.is_reachable:
            self._folder.remove(self._name)
        self._stop_listening()

    def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._folder is not None:
            self._folder.close()
        self._server = self._folder = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) >= MAX_CLIENTS or not is_this_user(writer.get_extra_info("socket")):
            writer.transport.abort()
            return
        client = _Client(reader, writer, self._call, self._status, self._spill)
        client.send(self._hello)
        self._clients.add(client)
        task = asyncio.create_task(client.serve())
        self._serving.add(task)

        def ended(_: object) -> None:
            self._clients.discard(client)
            self._serving.discard(task)

        task.add_done_callback(ended)

    def _spill(self, content: bytes) -> str:
        """Write an answer that is too large for a frame beside the socket, where its reader looks.

        Returns its name. Raises OSError.
        """
        if self._folder is None:
            raise FileNotFoundError("the channel is closed")
        name = f"answer-{secrets.token_hex(8)}.json"
        self._folder.write(name, content)
        return name


class _Client:
    """One connection, from its hello to its end."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        call: Call,
        status: Callable[[], dict[str, Any]],
        spill: Callable[[bytes], str],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._call = call
        self._status = status
        self._spill = spill
        self._outgoing: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=64)
        self._subscribed = False
        self._status_queued = False
        self._calls: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def serve(self) -> None:
        """Read and write until either ends."""
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
        self.send({"id": None, "error": error.to_json()})
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
            self.send(
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
            self.send({"id": call_id, "result": {}})
            self.push_status()
            return
        try:
            result = await self._call(method, params, partial(self._report, call_id))
            response: dict[str, Any] = {"id": call_id, "result": result}
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
        self.send(response)

    def _report(self, call_id: int, done: int, total: int) -> None:
        self.send({"event": "progress", "call": call_id, "done": done, "total": total})

    def send(self, message: dict[str, Any]) -> None:
        try:
            self._queue(encode(message))
        except PeerError:
            self._queue(encode(self._by_file(message)))

    def _by_file(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return a message that names a file with the result, or the error instead of it."""
        content = json.dumps(message.get("result")).encode()
        if len(content) > MAX_ANSWER_BYTES:
            error = UserActionError(
                "RESULT_TOO_LARGE", "The result is too large.", "Ask for less at a time."
            )
            return {"id": message["id"], "error": error.to_json()}
        try:
            return {"id": message["id"], "result": {}, "file": self._spill(content)}
        except OSError as fault:
            log.warning("answer.not_written error=%s", fault.strerror)
            error = UserActionError(
                "DISK_FULL",
                "AegisAI could not write its answer.",
                "Free some disk space and try again.",
            )
            return {"id": message["id"], "error": error.to_json()}

    def _queue(self, frame: bytes | None) -> None:
        try:
            self._outgoing.put_nowait(frame)
        except asyncio.QueueFull:
            self.drop()
