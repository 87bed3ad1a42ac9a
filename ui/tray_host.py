"""Where the icon can be shown: a StatusNotifier host on the session bus, or an XEmbed area; both
may come late or never.

1. Qt takes up an XEmbed area by itself whenever it comes. A StatusNotifier watcher that comes after
   the icon is never taken up by the old icon: a new one has to be made (PLATFORM §2). The watcher's
   name on the bus is watched; nothing is polled.
2. `isVisible()` of an icon is true without any area, so it is not asked.
"""

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtDBus import QDBusConnection, QDBusServiceWatcher
from PySide6.QtWidgets import QSystemTrayIcon

WATCHER = "org.kde.StatusNotifierWatcher"
SETTLE_MS = 300
"""A watcher takes its name a moment before it answers."""


class TrayHost(QObject):
    """Emits `came` when an icon should be made anew and `absent` once, when there has been no area
    for `patience_ms`.
    """

    came = Signal()
    absent = Signal()

    def __init__(self, patience_ms: int, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._watcher: QDBusServiceWatcher | None = None
        bus = QDBusConnection.sessionBus()
        if bus.isConnected():
            mode = QDBusServiceWatcher.WatchModeFlag.WatchForRegistration
            self._watcher = QDBusServiceWatcher(WATCHER, bus, mode, self)
            self._watcher.serviceRegistered.connect(self._registered)
        self._settle = QTimer(self, singleShot=True, interval=SETTLE_MS)
        self._settle.timeout.connect(self._look)
        self._patience = QTimer(self, singleShot=True, interval=patience_ms)
        self._patience.timeout.connect(self._out_of_patience)
        self._patience.start()

    @staticmethod
    def is_there() -> bool:
        return QSystemTrayIcon.isSystemTrayAvailable()

    def _registered(self) -> None:
        self._settle.start()

    def _look(self) -> None:
        self._patience.stop()
        self.came.emit()

    def _out_of_patience(self) -> None:
        if not self.is_there():
            self.absent.emit()
