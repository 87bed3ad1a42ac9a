"""The window's and tray's end of the local channel: the only file of `ui` that talks to the agent.

1. It connects, subscribes, and hands on every pushed Status; nothing is polled.
2. When the agent is away it looks again when its socket's folder changes, and with growing, coarse
   pauses (at most RETRY_LONGEST_MS).
3. Every request gets exactly one answer: its result, the agent's error, or NO_AGENT when the
   connection ends first.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PySide6.QtCore import QFileSystemWatcher, QObject, Qt, QTimer, Signal
from PySide6.QtNetwork import QLocalSocket

from agent.errors import AegisError, PeerError, UserActionError
from agent.ipc.client import PROTOCOL, FrameDecoder, decode_answer, encode
from agent.status import Status

RETRY_FIRST_MS = 200
RETRY_LONGEST_MS = 60_000

Done = Callable[[dict[str, Any]], None]
Failed = Callable[[AegisError], None]


@dataclass(frozen=True)
class _Waiting:
    done: Done | None
    failed: Failed | None


class AgentClient(QObject):
    """One connection to the agent of one home.

    `failed` without a receiver goes out as `callFailed`.
    """

    statusChanged = Signal(object)
    connectedChanged = Signal(bool)
    callFailed = Signal(object)

    def __init__(self, path: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._path = path
        self._status: Status | None = None
        self._is_connected = False
        self._number = 0
        self._waiting: dict[int, _Waiting] = {}
        self._decoder = FrameDecoder()
        self._pause_ms = RETRY_FIRST_MS
        self._socket = QLocalSocket(self)
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
        """The newest Status, or None while no agent answers."""
        return self._status

    @property
    def is_connected(self) -> bool:
        return self._is_connected

    def open(self) -> None:
        """Connect now, and again whenever the connection ends."""
        self._watch_folder()
        self._connect()

    def close(self) -> None:
        """End the connection for good; requests under way fail."""
        self._retry.stop()
        self._socket.blockSignals(True)
        self._socket.abort()
        self._drop()

    def call(
        self,
        method: str,
        params: dict[str, Any] | None = None,
        done: Done | None = None,
        failed: Failed | None = None,
    ) -> None:
        """Ask the agent; `done` gets the result. Never blocks and never raises."""
        if not self._is_connected:
            self._fail(_Waiting(done, failed), _no_agent())
            return
        self._number += 1
        try:
            frame = encode({"id": self._number, "method": method, "params": params or {}})
        except PeerError as error:
            self._fail(_Waiting(done, failed), error)
            return
        self._waiting[self._number] = _Waiting(done, failed)
        self._socket.write(frame)
        self._socket.flush()

    def _connect(self) -> None:
        if self._socket.state() == QLocalSocket.LocalSocketState.UnconnectedState:
            self._socket.connectToServer(str(self._path))

    def _read(self) -> None:
        try:
            for message in self._decoder.feed(bytes(self._socket.readAll().data())):
                self._take(message)
        except AegisError as error:
            self.callFailed.emit(error)
            self._socket.abort()

    def _take(self, message: dict[str, Any]) -> None:
        match message.get("event"):
            case "hello":
                self._greet(message)
            case "status":
                self._status = Status.from_json(message["status"])
                self.statusChanged.emit(self._status)
            case None:
                self._answered(message)

    def _greet(self, hello: dict[str, Any]) -> None:
        if hello.get("protocol") != PROTOCOL:
            raise PeerError(
                "CHANNEL_VERSION",
                "The running agent is of another version.",
                "Quit it and start it again.",
            )
        self._is_connected = True
        self._pause_ms = RETRY_FIRST_MS
        self.connectedChanged.emit(True)
        self.call("subscribe")

    def _answered(self, message: dict[str, Any]) -> None:
        number = message.get("id")
        waiting = self._waiting.pop(number, None) if isinstance(number, int) else None
        if waiting is None:
            return
        try:
            result = decode_answer(message)
        except AegisError as error:
            self._fail(waiting, error)
            return
        if waiting.done is not None:
            waiting.done(result)

    def _fail(self, waiting: _Waiting, error: AegisError) -> None:
        if waiting.failed is not None:
            waiting.failed(error)
        else:
            self.callFailed.emit(error)

    def _lost(self) -> None:
        self._drop()
        self._watch_folder()
        if not self._retry.isActive():
            self._retry.start(self._pause_ms)
            self._pause_ms = min(2 * self._pause_ms, RETRY_LONGEST_MS)

    def _drop(self) -> None:
        self._decoder = FrameDecoder()
        waiting, self._waiting = list(self._waiting.values()), {}
        was_connected, self._is_connected, self._status = self._is_connected, False, None
        for one in waiting:
            self._fail(one, _no_agent())
        if was_connected:
            self.connectedChanged.emit(False)

    def _watch_folder(self) -> None:
        """The socket's folder, or while that does not exist the nearest one above it."""
        folder = self._path.parent
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        if str(folder) not in self._folder.directories():
            self._folder.addPath(str(folder))

    def _folder_changed(self) -> None:
        if not self._is_connected:
            self._watch_folder()
            self._pause_ms = RETRY_FIRST_MS
            self._retry.start(RETRY_FIRST_MS)


def _no_agent() -> UserActionError:
    return UserActionError(
        "NO_AGENT", "AegisAI is not running.", "Start it, or wait a moment and try again."
    )
