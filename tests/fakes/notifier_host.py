"""A panel's notification area on a private bus: a StatusNotifier watcher and host that reads and
clicks the icon's menu over D-Bus.

`with NotifierHost(address) as host:`. The test calls it from its own thread; a second thread runs
the loop that talks to the bus.
"""

import asyncio
import threading

from dbus_fast import BusType, Message, MessageType, PropertyAccess, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property, dbus_signal

from tests.fakes.timeouts import TIMEOUT_S, until

NAME = "org.kde.StatusNotifierWatcher"


class _Watcher(ServiceInterface):
    def __init__(self):
        super().__init__(NAME)
        self.items = []

    @dbus_method()
    def RegisterStatusNotifierItem(self, service: "s"):  # noqa: F821  a D-Bus signature
        self.items.append(service)
        self.StatusNotifierItemRegistered(service)

    @dbus_method()
    def RegisterStatusNotifierHost(self, service: "s"):  # noqa: F821
        pass

    @dbus_property(access=PropertyAccess.READ)
    def RegisteredStatusNotifierItems(self) -> "as":  # noqa: F722
        return self.items

    @dbus_property(access=PropertyAccess.READ)
    def IsStatusNotifierHostRegistered(self) -> "b":  # noqa: F821
        return True

    @dbus_property(access=PropertyAccess.READ)
    def ProtocolVersion(self) -> "i":  # noqa: F821
        return 0

    @dbus_signal()
    def StatusNotifierItemRegistered(self, service) -> "s":  # noqa: F821
        return service


class NotifierHost:
    """The panel; it always looks at the icon that registered last."""

    def __init__(self, address):
        self._address = address

    def __enter__(self):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._ask(self._open())
        return self

    def __exit__(self, *_):
        self._ask(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(TIMEOUT_S)
        self._loop.close()

    @property
    def items(self):
        """Bus names of the icons that registered."""
        return tuple(self._watcher.items)

    def properties(self):
        """What the icon shows: title, tooltip, pixmaps, state, menu."""
        name = "org.kde.StatusNotifierItem"
        (found,) = self._call(
            "/StatusNotifierItem", "org.freedesktop.DBus.Properties", "GetAll", "s", [name]
        )
        return {key: value.value for key, value in found.items()}

    def tooltip(self):
        """The tooltip's lines as one text; Qt shows a notification in their place."""
        return " ".join(self.properties()["ToolTip"][2:])

    def sizes(self):
        """Widths of the icon's pixmaps."""
        return sorted(pixmap[0] for pixmap in self.properties()["IconPixmap"])

    def menu(self):
        """Label -> (id, enabled) of every visible entry, submenus included."""
        self._call(self._menu_path(), "com.canonical.dbusmenu", "AboutToShow", "i", [0])
        _, layout = self._call(
            self._menu_path(), "com.canonical.dbusmenu", "GetLayout", "iias", [0, -1, []]
        )
        found = {}
        self._walk(layout, found)
        return found

    def click(self, label):
        """Click an entry as soon as the menu offers it."""
        until(lambda: self.is_enabled(label), what=f"{label!r} in the menu")
        number, _ = self.menu()[label]
        self._call(
            self._menu_path(),
            "com.canonical.dbusmenu",
            "Event",
            "isvu",
            [number, "clicked", Variant("i", 0), 0],
        )

    def is_enabled(self, label):
        """Whether the menu offers an entry now."""
        return self.menu().get(label, (0, False))[1]

    def _walk(self, item, found):
        number, properties, children = item
        values = {key: value.value for key, value in properties.items()}
        if values.get("visible", True) and (label := values.get("label", "").replace("_", "")):
            found[label] = (number, values.get("enabled", True))
        for child in children:
            self._walk(child.value, found)

    def _menu_path(self):
        return self.properties()["Menu"]

    def _call(self, path, interface, member, signature, body):
        """Call the icon; repeat the call when the icon has just been replaced."""

        def reply():
            message = Message(
                destination=self.items[-1],
                path=path,
                interface=interface,
                member=member,
                signature=signature,
                body=body,
            )
            answer = self._ask(self._bus.call(message))
            return answer if answer.message_type is MessageType.METHOD_RETURN else None

        return until(reply, what=f"an answer to {member}").body

    def _ask(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(TIMEOUT_S)

    async def _close(self):
        self._bus.disconnect()
        await self._bus.wait_for_disconnect()

    async def _open(self):
        self._bus = await MessageBus(bus_address=self._address, bus_type=BusType.SESSION).connect()
        self._watcher = _Watcher()
        self._bus.export("/StatusNotifierWatcher", self._watcher)
        await self._bus.request_name(NAME)
