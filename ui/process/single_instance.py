"""One window and one tray per home: a second launch asks the first and ends.

1. Who holds the lock file is the first; two that start in the same moment cannot both be. A dead
   process's lock counts for nothing.
2. The first listens on a socket of its own beside the agent's. A message is one line: a word (`show
   PAGE`, `quit`) and an activation token. Where it cannot listen (a path that is too long) it runs
   all the same, and a second launch says that it cannot reach it.
"""

from pathlib import Path

from PySide6.QtCore import QDeadlineTimer, QLockFile, QObject, QThread, Signal
from PySide6.QtNetwork import QLocalServer, QLocalSocket

WAIT_MS = 500
MAX_LINE_BYTES = 4096
PATIENCE_MS = 3_000
"""The first may hold the lock a moment before it listens."""
AGAIN_MS = 50


class SingleInstance(QObject):
    """Emits `asked(verb, argument, token)` for each second launch."""

    asked = Signal(str, str, str)

    def __init__(self, path: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._path = path
        self._lock = QLockFile(f"{path}.lock")
        self._lock.setStaleLockTime(0)  # however long it runs
        self._server: QLocalServer | None = None
        self._peers: list[QLocalSocket] = []

    def claim(self) -> bool:
        """Whether this process is the first; call `tell_first` otherwise.

        A socket that was left behind is replaced.
        """
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._lock.tryLock(0):
            return False
        server = QLocalServer(self)
        server.setSocketOptions(QLocalServer.SocketOption.UserAccessOption)
        QLocalServer.removeServer(str(self._path))
        if server.listen(str(self._path)):
            server.newConnection.connect(self._accept)
            self._server = server
        return True

    def release(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self._lock.unlock()

    def _accept(self) -> None:
        while self._server is not None and self._server.hasPendingConnections():
            peer = self._server.nextPendingConnection()
            self._peers.append(peer)
            peer.readyRead.connect(self._read)
            peer.disconnected.connect(self._read)
        self._read()

    def _read(self) -> None:
        """Take every whole line; a peer that has gone or says too much is let go."""
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
            verb, _, rest = line.rstrip("\n").partition("\t")
            argument, _, token = rest.partition("\t")
            if verb in ("show", "quit"):
                self.asked.emit(verb, argument, token)


def tell(path: Path, verb: str, argument: str = "", token: str = "") -> bool:
    """Whether somebody listened."""
    socket = QLocalSocket()
    socket.connectToServer(str(path))
    if not socket.waitForConnected(WAIT_MS):
        return False
    socket.write(f"{verb}\t{argument}\t{token}\n".encode())
    socket.waitForBytesWritten(WAIT_MS)
    socket.disconnectFromServer()
    return True


def tell_first(path: Path, verb: str, argument: str = "", token: str = "") -> bool:
    """As `tell`, with patience for a first one that has only just begun."""
    ends = QDeadlineTimer(PATIENCE_MS)
    while not tell(path, verb, argument, token):
        if ends.hasExpired():
            return False
        QThread.msleep(AGAIN_MS)
    return True
