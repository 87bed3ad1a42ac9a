"""Converts SIGINT and SIGTERM (Ctrl-C, the end of the login) into a Qt signal, without polling.

Python runs its own handlers only between two bytecodes, which never come while Qt's event loop
waits. Python's C handler, however, writes the signal's number to a socket that Qt can watch.
"""

import signal
import socket

from PySide6.QtCore import QObject, QSocketNotifier, Signal

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class QuitSignals(QObject):
    """Emits `received` when the process is asked to end. Create it once, in the main thread."""

    received = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._read, self._write = socket.socketpair()
        for end in (self._read, self._write):
            end.setblocking(False)
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        for each in SIGNALS:
            signal.signal(each, lambda *_: None)
        self._notifier = QSocketNotifier(self._read.fileno(), QSocketNotifier.Type.Read, self)
        self._notifier.activated.connect(self._emit)

    def close(self) -> None:
        """Restore the default: from now on such a signal ends the process at once."""
        signal.set_wakeup_fd(-1)
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        self._notifier.setEnabled(False)
        self._read.close()
        self._write.close()

    def _emit(self) -> None:
        self._read.recv(64)
        self.received.emit()
