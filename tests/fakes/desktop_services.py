"""A private bus with the services that the agent reads: UPower, NetworkManager, logind, and the
idle time of GNOME or KDE. The test sets what each reports.
"""

import shutil
import subprocess
from contextlib import asynccontextmanager

from dbus_fast.aio import MessageBus
from dbus_fast.service import PropertyAccess, ServiceInterface, dbus_property, method, signal

SESSION_PATH = "/org/freedesktop/login1/session/_31"
USER_PATH = "/org/freedesktop/login1/user/_me"


class UPower(ServiceInterface):
    def __init__(self):
        super().__init__("org.freedesktop.UPower")
        self.on_battery = False

    @dbus_property(access=PropertyAccess.READ)
    def OnBattery(self) -> "b":  # noqa: F821
        return self.on_battery

    def set(self, on_battery):
        self.on_battery = on_battery
        self.emit_properties_changed({"OnBattery": on_battery})


class NetworkManager(ServiceInterface):
    def __init__(self):
        super().__init__("org.freedesktop.NetworkManager")
        self.metered, self.state = 2, 70

    @dbus_property(access=PropertyAccess.READ)
    def Metered(self) -> "u":  # noqa: F821
        return self.metered

    @dbus_property(access=PropertyAccess.READ)
    def State(self) -> "u":  # noqa: F821
        return self.state

    def set(self, *, metered=None, state=None):
        if metered is not None:
            self.metered = metered
            self.emit_properties_changed({"Metered": metered})
        if state is not None:
            self.state = state
            self.emit_properties_changed({"State": state})


class LoginManager(ServiceInterface):
    def __init__(self):
        super().__init__("org.freedesktop.login1.Manager")

    @method()
    def GetUser(self, uid: "u") -> "o":  # noqa: F821
        return USER_PATH

    @signal()
    def PrepareForSleep(self, before) -> "b":  # noqa: F821
        return before


class LoginUser(ServiceInterface):
    def __init__(self):
        super().__init__("org.freedesktop.login1.User")

    @dbus_property(access=PropertyAccess.READ)
    def Display(self) -> "(so)":  # noqa: F821
        return ["1", SESSION_PATH]


class LoginSession(ServiceInterface):
    def __init__(self):
        super().__init__("org.freedesktop.login1.Session")
        self.active = True

    @dbus_property(access=PropertyAccess.READ)
    def Active(self) -> "b":  # noqa: F821
        return self.active

    def set(self, active):
        self.active = active
        self.emit_properties_changed({"Active": active})


class IdleMonitor(ServiceInterface):
    def __init__(self):
        super().__init__("org.gnome.Mutter.IdleMonitor")
        self.idle_ms = 0
        self.watches = {}
        self.is_hasty = False
        """Whether a key is pressed while a watch for it is being requested."""

    @method()
    def GetIdletime(self) -> "t":  # noqa: F821
        return self.idle_ms

    @method()
    def AddIdleWatch(self, interval: "t") -> "u":  # noqa: F821
        return self._added(("idle", interval))

    @method()
    def AddUserActiveWatch(self) -> "u":  # noqa: F821
        number = self._added(("active", 0))
        if self.is_hasty:
            self.set(0)  # the signal goes out before the answer
        return number

    @method()
    def RemoveWatch(self, watch: "u"):  # noqa: F821
        self.watches.pop(watch, None)

    @signal()
    def WatchFired(self, watch) -> "u":  # noqa: F821
        return watch

    def _added(self, kind):
        number = max(self.watches, default=0) + 1
        self.watches[number] = kind
        return number

    def set(self, idle_ms):
        """Set the idle time: a larger one lets time pass, a smaller one presses a key."""
        before, self.idle_ms = self.idle_ms, idle_ms
        for watch, (kind, interval) in list(self.watches.items()):
            if kind == "idle" and before < interval <= idle_ms:
                self.WatchFired(watch)
            elif kind == "active" and idle_ms < before:
                del self.watches[watch]
                self.WatchFired(watch)


class ScreenSaver(ServiceInterface):
    """KDE's source of the idle time; it answers in milliseconds and sends no signals."""

    def __init__(self):
        super().__init__("org.freedesktop.ScreenSaver")
        self.idle_ms = 0

    @method()
    def GetSessionIdleTime(self) -> "u":  # noqa: F821
        return self.idle_ms


class DesktopServices:
    """All of them on one bus, which serves as the system's and as the session's."""

    def __init__(self, address):
        self.address = address
        self.environ = {"DBUS_SYSTEM_BUS_ADDRESS": address, "DBUS_SESSION_BUS_ADDRESS": address}
        self.power, self.network, self.login = UPower(), NetworkManager(), LoginManager()
        self.session, self.idle, self.screen_saver = LoginSession(), IdleMonitor(), ScreenSaver()

    async def start(self, *names):
        """Put services on the bus: those of GNOME, or the named ones (power, network, login, idle,
        screen_saver).
        """
        bus = await MessageBus(bus_address=self.address).connect()
        chosen = names or ("power", "network", "login", "idle")
        if "power" in chosen:
            bus.export("/org/freedesktop/UPower", self.power)
            await bus.request_name("org.freedesktop.UPower")
        if "network" in chosen:
            bus.export("/org/freedesktop/NetworkManager", self.network)
            await bus.request_name("org.freedesktop.NetworkManager")
        if "login" in chosen:
            bus.export("/org/freedesktop/login1", self.login)
            bus.export(USER_PATH, LoginUser())
            bus.export(SESSION_PATH, self.session)
            await bus.request_name("org.freedesktop.login1")
        if "idle" in chosen:
            bus.export("/org/gnome/Mutter/IdleMonitor/Core", self.idle)
            await bus.request_name("org.gnome.Mutter.IdleMonitor")
        if "screen_saver" in chosen:
            bus.export("/ScreenSaver", self.screen_saver)
            await bus.request_name("org.freedesktop.ScreenSaver")
        return bus


@asynccontextmanager
async def private_bus():
    """Run a bus daemon and yield its DesktopServices, none of them started yet."""
    daemon = subprocess.Popen(
        [shutil.which("dbus-daemon"), "--session", "--nofork", "--nosyslog", "--print-address=1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield DesktopServices(daemon.stdout.readline().decode().strip())
    finally:
        daemon.terminate()
        daemon.wait()
        daemon.stdout.close()
