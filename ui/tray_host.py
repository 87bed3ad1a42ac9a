"""Watches for a notification area: a StatusNotifier host on the session bus, or an XEmbed area.

1. Qt finds an XEmbed area by itself, whenever it appears. A StatusNotifier watcher that starts
   after the icon never shows that icon: a new one must be made. So the watcher's name on the bus is
   watched; nothing is polled.
2. `isVisible()` of an icon is true even without any area, so it tells nothing.
"""

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtDBus import QDBusConnection, QDBusServiceWatcher
from PySide6.QtWidgets import QSystemTrayIcon

WATCHER = "org.kde.StatusNotifierWatcher"
SETTLE_MS = 300
"""A watcher owns its name for a moment before it answers."""


class TrayHost(QObject):
    """Emits `appeared` when a new icon must be made, and `absent` once when there has been no
    notification area for `timeout_ms`.
    """

    appeared = Signal()
    absent = Signal()

    def __init__(self, timeout_ms: int, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._watcher: QDBusServiceWatcher | None = None
        bus = QDBusConnection.sessionBus()
        if bus.isConnected():
            mode = QDBusServiceWatcher.WatchModeFlag.WatchForRegistration
            self._watcher = QDBusServiceWatcher(WATCHER, bus, mode, self)
            self._watcher.serviceRegistered.connect(self._registered)
        self._settle = QTimer(self, singleShot=True, interval=SETTLE_MS)
        self._settle.timeout.connect(self._settled)
        self._timeout = QTimer(self, singleShot=True, interval=timeout_ms)
        self._timeout.timeout.connect(self._timed_out)
        self._timeout.start()

    def _registered(self) -> None:
        self._settle.start()

    def _settled(self) -> None:
        self._timeout.stop()
        self.appeared.emit()

    def _timed_out(self) -> None:
        if not QSystemTrayIcon.isSystemTrayAvailable():
            self.absent.emit()
