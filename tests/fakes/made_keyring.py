"""A Secret Service of our own on a private bus, with whatever state a test gives it.

It runs in a thread of the test's process, so a test reads what was called. Only the bus is real.
"""

import asyncio
import shutil
import subprocess
import tempfile
import threading

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

SERVICE = "/org/freedesktop/secrets"
LOGIN, WORK = f"{SERVICE}/collection/login", f"{SERVICE}/collection/work"
PROMPT = f"{SERVICE}/prompt/p"
SECRET = "org.freedesktop.Secret."
BUS_ERROR = "org.freedesktop.DBus.Error."


class _Refused(Exception):
    """The name of the D-Bus error to answer."""


_BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:tmpdir=/tmp</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/>
<allow own="*"/><allow user="*"/></policy></busconfig>"""
"""Without folders of services, so the bus starts none by itself."""


class PrivateBus:
    """A message bus that nothing else uses."""

    def __init__(self):
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as config:
            config.write(_BUS_CONFIG)
            config.flush()
            self.process = subprocess.Popen(
                ["dbus-daemon", f"--config-file={config.name}", "--nofork", "--print-address"],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            self.address = self.process.stdout.readline().strip()
        assert self.address, "the bus did not start"

    @staticmethod
    def missing():
        return "" if shutil.which("dbus-daemon") else "dbus-daemon"

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


class MadeKeyring:
    """The service. Set its fields before a call; `shown` lists the prompts that a person saw."""

    def __init__(self, address):
        self.default = LOGIN
        self.collections = {LOGIN: False}
        """Path -> whether it is locked."""
        self.items = {}
        """Path -> (collection, attributes, secret)."""
        self.asks_for = set()
        """Items that are locked themselves, as KeePassXC's are until a connection is allowed."""
        self.answer = True
        """What the person answers to a prompt: True, False (closed) or None (nobody is there)."""
        self.opens = True
        """Whether a yes really opens."""
        self.by_prompt = False
        """Whether making and deleting an item goes by way of a prompt, as with KeePassXC."""
        self.refuses = {}
        """Method -> name of the D-Bus error that it answers."""
        self.silent = set()
        """Methods that are never answered."""
        self.calls, self.shown = [], []
        self._pending = None
        self._loop = asyncio.new_event_loop()
        self._bus = None
        ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(address, ready), daemon=True)
        self._thread.start()
        assert ready.wait(10)

    def add(self, path, name, text, *, asks=False):
        self.items[path] = (
            path.rpartition("/")[0],
            {"service": "AegisAI", "username": name},
            text.encode(),
        )
        if asks:
            self.asks_for.add(path)

    def close(self):
        self._loop.call_soon_threadsafe(self._bus.disconnect)
        self._thread.join()

    def _serve(self, address, ready):
        async def serve():
            self._bus = await MessageBus(bus_address=address).connect()
            self._bus.add_message_handler(self._handle)
            await self._bus.request_name("org.freedesktop.secrets")
            ready.set()
            await self._bus.wait_for_disconnect()

        self._loop.run_until_complete(serve())
        self._loop.close()

    def _handle(self, message):
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        if not (message.path or "").startswith(SERVICE):
            return None
        self.calls.append(message.member)
        if message.member in self.silent:
            return True
        if error := self.refuses.get(message.member):
            return Message.new_error(message, error, "refused")
        known = (SERVICE, *self.collections, *self.items)
        made = ("/session/", "/prompt/")
        if message.path not in known and not any(part in message.path for part in made):
            return Message.new_error(message, f"{BUS_ERROR}UnknownMethod", "No such object path")
        try:
            signature, body = getattr(self, f"_{message.member.lower()}")(message)
        except _Refused as refused:
            return Message.new_error(message, str(refused), "refused")
        return Message.new_method_return(message, signature, body)

    def _opensession(self, message):
        if message.body[0] != "plain":
            raise _Refused(f"{BUS_ERROR}NotSupported")
        return "vo", [Variant("s", ""), f"{SERVICE}/session/1"]

    def _close(self, message):
        return "", []

    def _readalias(self, message):
        return "o", [self.default or "/"]

    def _get(self, message):
        name = message.body[1]
        if name == "Collections":
            return "v", [Variant("ao", list(self.collections))]
        return "v", [Variant("b", self._is_locked(message.path))]

    def _is_locked(self, path):
        if path in self.collections:
            return self.collections[path]
        return self.collections[self.items[path][0]] or path in self.asks_for

    def _searchitems(self, message):
        if message.path == SERVICE:  # KeePassXC asks for a password here
            self.shown.append("SearchItems")
        wanted = message.body[0].items()
        found = [
            path
            for path, (collection, attributes, _) in self.items.items()
            if collection == message.path and wanted <= attributes.items()
        ]
        return "ao", [found]

    def _getsecret(self, message):
        if self._is_locked(message.path):
            self.shown.append("GetSecret")
        secret = [f"{SERVICE}/session/1", b"", self.items[message.path][2], "text/plain"]
        return "(oayays)", [secret]

    def _setsecret(self, message):
        if self._is_locked(message.path):
            self.shown.append("SetSecret")
        collection, attributes, _ = self.items[message.path]
        self.items[message.path] = (collection, attributes, bytes(message.body[0][2]))
        return "", []

    def _createitem(self, message):
        path = f"{message.path}/{len(self.items) + 1}"
        attributes = message.body[0][f"{SECRET}Item.Attributes"].value
        made = (message.path, attributes, bytes(message.body[1][2]))
        if not self.by_prompt:
            self.items[path] = made
            return "oo", [path, "/"]
        self._pending = lambda: self.items.update({path: made})
        return "oo", ["/", PROMPT]

    def _delete(self, message):
        path = message.path
        if not self.by_prompt:
            del self.items[path]
            return "o", ["/"]
        self._pending = lambda: self.items.pop(path, None)
        return "o", [PROMPT]

    def _unlock(self, message):
        paths = message.body[0]

        def opened():
            for path in paths:
                self.asks_for.discard(path)
                if path in self.collections:
                    self.collections[path] = False

        self._pending = opened
        return "aoo", [[], PROMPT]

    def _createcollection(self, message):
        def made():
            self.default = LOGIN
            self.collections[LOGIN] = False

        self._pending = made
        return "oo", ["/", PROMPT]

    def _prompt(self, message):
        self.shown.append("Prompt")
        if self.answer is not None:
            if self.answer and self.opens:
                self._pending()
            completed = Message(
                path=message.path,
                interface=f"{SECRET}Prompt",
                member="Completed",
                message_type=MessageType.SIGNAL,
                signature="bv",
                body=[not self.answer, Variant("s", "")],
            )
            self._loop.call_soon(self._bus.send, completed)
        return "", []

    def _dismiss(self, message):
        return "", []
