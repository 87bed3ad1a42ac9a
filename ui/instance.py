"""One window and one tray per home: a second launch asks the first and ends.

The first listens on a socket of its own beside the agent's. A message is one line: a word (`show PAGE`, `quit`) and an activation token.
"""

from pathlib import Path

from PySide6.QtCore import QObject, Signal
from PySide6.QtNetwork import QLocalServer, QLocalSocket

WAIT_MS = 500
MAX_LINE_BYTES = 4096


class Instance(QObject):
    """Emits `asked(verb, argument, token)` for each second launch."""

    asked = Signal(str, str, str)

    def __init__(self, path: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._path = path
        self._server: QLocalServer | None = None
        self._peers: list[QLocalSocket] = []

    def claim(self) -> bool:
        """Whether this process is the first; call `tell` otherwise. A socket that nobody answers on is stale and replaced."""
        if tell(self._path, "here"):
            return False
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        server = QLocalServer(self)
        server.setSocketOptions(QLocalServer.SocketOption.UserAccessOption)
        QLocalServer.removeServer(str(self._path))
        if not server.listen(str(self._path)):
            return False
        server.newConnection.connect(self._accept)
        self._server = server
        return True

    def release(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

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
            line = bytes(peer.readLine(MAX_LINE_BYTES).data()).decode("utf-8", "replace") if peer.canReadLine() else ""
            if not line and peer.state() == QLocalSocket.LocalSocketState.ConnectedState and peer.bytesAvailable() < MAX_LINE_BYTES:
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
