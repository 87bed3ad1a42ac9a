"""One window and one tray per home: a second launch sends a message to the first and ends.

1. The process that holds the lock file is the first. Two that start at the same moment cannot both
   hold it, and the lock of a dead process does not count.
2. The first process listens on a socket beside the agent's. A message is one line of three fields
   separated by tabs: `show` or `quit`, a page, and an activation token.
3. Where the first process cannot listen it runs anyway, and a second launch reports that it cannot
   reach it.
4. A message goes to a program of this user only.
"""

import os
import socket
from contextlib import suppress
from pathlib import Path

from PySide6.QtCore import QDeadlineTimer, QLockFile, QObject, QThread, Signal
from PySide6.QtNetwork import QLocalServer, QLocalSocket

from agent.errors import UserActionError
from agent.ipc.client import check_peer
from agent.ipc.private_folder import PrivateFolder

ANSWER_MS = 500
MAX_LINE_BYTES = 4096
START_TIMEOUT_MS = 3_000
"""The first process holds the lock for a moment before it listens."""
RETRY_MS = 50


class SingleInstance(QObject):
    """Emits `messageReceived(verb, argument, token)` for each second launch."""

    messageReceived = Signal(str, str, str)

    def __init__(self, path: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._path = path
        self._lock = QLockFile(f"{path}.lock")
        self._lock.setStaleLockTime(0)  # never stale, however long it runs
        self._server: QLocalServer | None = None
        self._folder: PrivateFolder | None = None
        self._peers: list[QLocalSocket] = []

    def claim(self) -> bool:
        """Become the first process and listen; return False when there is one already.

        A socket that a dead process left behind is replaced. Raises OSError, UserActionError
        CHANNEL_UNSAFE.
        """
        folder = PrivateFolder.make(self._path.parent)
        if not self._lock.tryLock(0):
            folder.close()
            return False
        self._folder = folder
        with suppress(OSError):  # rule 3
            address = folder.address(self._path.name)
            server = QLocalServer(self)
            server.setSocketOptions(QLocalServer.SocketOption.UserAccessOption)
            QLocalServer.removeServer(address)
            if server.listen(address):
                server.newConnection.connect(self._accept)
                self._server = server
        return True

    def release(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._folder is not None:
            self._folder.close()
            self._folder = None
        self._lock.unlock()

    def _accept(self) -> None:
        while self._server is not None and self._server.hasPendingConnections():
            peer = self._server.nextPendingConnection()
            self._peers.append(peer)
            peer.readyRead.connect(self._read)
            peer.disconnected.connect(self._read)
        self._read()

    def _read(self) -> None:
        """Take every complete line; drop peers that have left or sent more than a line's limit."""
        for peer in list(self._peers):
            line = (
                bytes(peer.readLine(MAX_LINE_BYTES).data()).decode("utf-8", "replace")
                if peer.canReadLine()
                else ""
            )
            if (
                not line
                and peer.state() == QLocalSocket.LocalSocketState.ConnectedState
                and peer.bytesAvailable() < MAX_LINE_BYTES
            ):
                continue
            self._peers.remove(peer)
            peer.deleteLater()
            if not line.endswith("\n"):
                continue  # cut at the limit, or by the end of the connection
            verb, _, rest = line.rstrip("\n").partition("\t")
            argument, _, token = rest.partition("\t")
            if verb in ("show", "quit"):
                self.messageReceived.emit(verb, argument, token)


def send(path: Path, verb: str, argument: str = "", token: str = "") -> bool:
    """Send a message to the first process and return whether it listened.

    Raises UserActionError CHANNEL_UNSAFE, CHANNEL_FOREIGN.
    """
    try:
        folder = PrivateFolder(path.parent)
    except FileNotFoundError:
        return False
    with folder:
        connection = QLocalSocket()
        try:
            connection.connectToServer(folder.address(path.name))
        except OSError:
            return False
        if not connection.waitForConnected(ANSWER_MS):
            return False
        with socket.socket(fileno=os.dup(int(connection.socketDescriptor()))) as peer:
            check_peer(peer)
        connection.write(f"{verb}\t{argument}\t{token}\n".encode())
        connection.waitForBytesWritten(ANSWER_MS)
        connection.disconnectFromServer()
        return True


def show_first(path: Path, page: str) -> None:
    """Ask the first process to show a page.

    Waits up to START_TIMEOUT_MS for a process that has only just started. Raises UserActionError
    when it does not listen even then.
    """
    deadline = QDeadlineTimer(START_TIMEOUT_MS)
    while not send(path, "show", page, activation_token()):
        if deadline.hasExpired():
            raise UserActionError(
                "RUNNING_ALREADY",
                "AegisAI is already open but does not answer.",
                "Close it, or end it with aegis quit.",
            )
        QThread.msleep(RETRY_MS)


def activation_token() -> str:
    """The launcher's permission to bring a window to the front (Wayland), or empty."""
    return os.environ.get("XDG_ACTIVATION_TOKEN", "")
