"""The client of the agent's local channel: the only module of `ui` that talks to the agent.

1. It connects, subscribes and passes on every Status that the agent pushes; nothing is polled.
2. While no agent answers it tries again when the socket's folder changes, and at growing intervals
   of at most RETRY_LONGEST_MS.
3. Every request ends in exactly one way: its result, the agent's error, or NO_AGENT when the
   connection ends first.
4. It trusts nobody because of a name: before it reads or sends anything it checks the socket's
   folder and who listens, as agent.ipc.client does.
5. What arrives is made printable here (agent.printable), so no page can show a name that a file, a
   server or an invitation uses to write over the window.
"""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QFileSystemWatcher, QObject, Qt, QTimer, Signal
from PySide6.QtNetwork import QLocalSocket

from agent.errors import AegisError, PeerError, UserActionError
from agent.ipc.client import (
    FrameDecoder,
    check_hello,
    check_peer,
    decode_response,
    encode,
    progress_of,
)
from agent.ipc.places import socket_of
from agent.ipc.private_folder import PrivateFolder
from agent.paths import Home
from agent.printable import printable, printable_values
from agent.status import Status

RETRY_FIRST_MS = 200
RETRY_LONGEST_MS = 60_000

Done = Callable[[dict[str, Any]], None]
Failed = Callable[[AegisError], None]


Report = Callable[[int, int], None]
"""Receives how many steps of a call are done, and how many there are."""


@dataclass(frozen=True)
class _PendingCall:
    done: Done | None
    failed: Failed | None
    report: Report | None = None


class AgentClient(QObject):
    """One connection to the agent of one home.

    Emits `callFailed` with the error of a call that has no `failed` callback.
    """

    statusChanged = Signal(object)
    connectedChanged = Signal(bool)
    callFailed = Signal(object)

    def __init__(self, home: Home, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._home = home
        self._open_folder: PrivateFolder | None = None
        """The folder of the socket that is or was connected last."""
        self._status: Status | None = None
        self._is_connected = False
        self._session = ""
        self._last_id = 0
        self._pending: dict[int, _PendingCall] = {}
        self._decoder = FrameDecoder()
        self._retry_ms = RETRY_FIRST_MS
        self._socket = QLocalSocket(self)
        self._socket.connected.connect(self._check)
        self._socket.readyRead.connect(self._read)
        self._socket.disconnected.connect(self._lost)
        self._socket.errorOccurred.connect(self._lost)
        self._retry = QTimer(self, singleShot=True)
        self._retry.setTimerType(Qt.TimerType.VeryCoarseTimer)
        self._retry.timeout.connect(self._connect)
        self._folder = QFileSystemWatcher(self)
        self._folder.directoryChanged.connect(self._folder_changed)

    @property
    def status(self) -> Status | None:
        """The latest Status, or None while no agent answers."""
        return self._status

    @property
    def is_connected(self) -> bool:
        return self._is_connected

    @property
    def session(self) -> str:
        """The login whose icon started the connected agent; empty: nobody's."""
        return self._session

    def open(self) -> None:
        """Connect, and reconnect whenever the connection ends."""
        self._watch_folder()
        self._connect()

    def close(self) -> None:
        """Close the connection for good; pending calls fail."""
        self._retry.stop()
        self._socket.blockSignals(True)
        self._socket.abort()
        self._drop()
        self._forget_folder()

    def call(
        self,
        method: str,
        params: dict[str, Any] | None = None,
        done: Done | None = None,
        failed: Failed | None = None,
        report: Report | None = None,
    ) -> None:
        """Call the agent and pass the result to `done`; `report` receives the progress of a long
        call. Never blocks and never raises.
        """
        if not self._is_connected:
            self._fail(_PendingCall(done, failed), _no_agent())
            return
        self._last_id += 1
        try:
            frame = encode({"id": self._last_id, "method": method, "params": params or {}})
        except PeerError as error:
            self._fail(_PendingCall(done, failed), error)
            return
        self._pending[self._last_id] = _PendingCall(done, failed, report)
        self._socket.write(frame)
        self._socket.flush()

    def _connect(self) -> None:
        if self._socket.state() != QLocalSocket.LocalSocketState.UnconnectedState:
            return
        self._forget_folder()
        try:
            path = socket_of(self._home)
            self._open_folder = PrivateFolder(path.parent)
            address = self._open_folder.address(path.name)
        except OSError:
            self._lost()
        except AegisError as error:
            self.callFailed.emit(error)
            self._lost()
        else:
            self._socket.connectToServer(address)

    def _check(self) -> None:
        """Leave at once if a program of another user listens."""
        with socket.socket(fileno=os.dup(int(self._socket.socketDescriptor()))) as peer:
            try:
                check_peer(peer)
            except AegisError as error:
                self._refuse(error)

    def _read(self) -> None:
        try:
            for message in self._decoder.feed(bytes(self._socket.readAll().data())):
                self._receive(message)
        except AegisError as error:
            self._refuse(error)

    def _refuse(self, error: AegisError) -> None:
        self.callFailed.emit(error)
        self._socket.abort()

    def _receive(self, message: dict[str, Any]) -> None:
        match message.get("event"):
            case "hello":
                self._hello(message)
            case "status":
                self._status = Status.from_json(printable_values(message["status"]))
                self.statusChanged.emit(self._status)
            case "progress":
                _pass_on(message, self._pending)
            case None:
                self._answer(message)

    def _hello(self, hello: dict[str, Any]) -> None:
        check_hello(hello)
        self._is_connected = True
        self._session = str(hello.get("session", ""))
        self._retry_ms = RETRY_FIRST_MS
        self.connectedChanged.emit(True)
        self.call("subscribe")

    def _answer(self, message: dict[str, Any]) -> None:
        call_id = message.get("id")
        pending = self._pending.pop(call_id, None) if isinstance(call_id, int) else None
        if pending is None or self._open_folder is None:
            return
        try:
            result = printable_values(decode_response(message, self._open_folder))
        except AegisError as error:
            self._fail(pending, _printable_error(error))
            return
        if pending.done is not None:
            pending.done(result)

    def _fail(self, pending: _PendingCall, error: AegisError) -> None:
        if pending.failed is not None:
            pending.failed(error)
        else:
            self.callFailed.emit(error)

    def _lost(self) -> None:
        self._drop()
        self._watch_folder()
        if not self._retry.isActive():
            self._retry.start(self._retry_ms)
            self._retry_ms = min(2 * self._retry_ms, RETRY_LONGEST_MS)

    def _drop(self) -> None:
        self._decoder = FrameDecoder()
        pending, self._pending = list(self._pending.values()), {}
        was_connected, self._is_connected, self._status = self._is_connected, False, None
        for call in pending:
            self._fail(call, _no_agent())
        if was_connected:
            self.connectedChanged.emit(False)

    def _watch_folder(self) -> None:
        """Watch the home's folder of sockets, or the nearest existing folder above it."""
        folder = self._home.run
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        if str(folder) not in self._folder.directories():
            self._folder.addPath(str(folder))

    def _forget_folder(self) -> None:
        if self._open_folder is not None:
            self._open_folder.close()
            self._open_folder = None

    def _folder_changed(self) -> None:
        if not self._is_connected:
            self._watch_folder()
            self._retry_ms = RETRY_FIRST_MS
            self._retry.start(RETRY_FIRST_MS)


def _pass_on(progress: dict[str, Any], pending: dict[int, _PendingCall]) -> None:
    call_id = progress.get("call")
    call = pending.get(call_id) if isinstance(call_id, int) else None
    if call is not None and call.report is not None:
        call.report(*progress_of(progress))


def _printable_error(error: AegisError) -> UserActionError:
    return UserActionError(*map(printable, (error.code, error.message, error.remedy)))


def _no_agent() -> UserActionError:
    return UserActionError(
        "NO_AGENT", "AegisAI is not running.", "Start it, or wait a moment and try again."
    )
