"""The keyrings of a Linux login (GNOME Keyring, KWallet, KeePassXC), through the Secret Service.

keyring's own backend unlocks on each call, which would raise a prompt that nobody asked for. So
the locks are read first, and there are two kinds: a collection's, and an item's own. KeePassXC
reports an item as locked until the person allows this connection to use it.

1. `get`, `put` and `check` call neither Unlock, nor GetSecret or SetSecret on something locked, nor
   the *service's* SearchItems, at which KeePassXC asks for a password.
2. A service may remember a permission for as long as the connection lives, so there is one
   connection, kept until it breaks.
3. A service that misses a deadline gets a new connection at the next call.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from agent.errors import UserActionError
from agent.identity import errors
from agent.identity.secret_service_bus import (
    BUS_ERROR,
    NOTHING,
    PREFIX,
    SERVICE_PATH,
    SecretServiceBus,
)

APPLICATION = "Python keyring library"
"""As the package keyring names the items that it makes."""
_SESSION_COLLECTION = f"{SERVICE_PATH}/collection/session"
"""GNOME Keyring forgets what is in it at the end of the login."""
_IS_LOCKED = f"{PREFIX}Error.IsLocked"
_GONE = {
    f"{BUS_ERROR}UnknownObject",
    f"{BUS_ERROR}UnknownMethod",
    f"{BUS_ERROR}UnknownInterface",
    f"{PREFIX}Error.NoSuchObject",
}
_NO_SERVICE = {f"{BUS_ERROR}ServiceUnknown", f"{BUS_ERROR}NameHasNoOwner"}
_NO_ANSWER = {f"{BUS_ERROR}NoReply", f"{BUS_ERROR}Timeout", f"{BUS_ERROR}TimedOut"}

T = TypeVar("T")


@dataclass(frozen=True)
class Deadlines:
    """How long each kind of call may take, in seconds."""

    call_s: float = 10.0
    unlock_s: float = 120.0
    """A person needs time to type a password."""
    create_s: float = 300.0
    """A person needs time to choose one, and perhaps a file."""


@dataclass(frozen=True)
class _Item:
    """An item of ours, with the collection that holds it."""

    path: str
    collection: str


class SecretService:
    """The items of one program, on one connection. Not for two threads at once.

    All methods raise UserActionError with one of the codes of `agent.identity.errors`.
    """

    def __init__(self, program: str, deadlines: Deadlines) -> None:
        self._program = program
        self._deadlines = deadlines
        self._bus: SecretServiceBus | None = None

    def check(self, names: Iterable[str] = ()) -> None:
        """Raise unless the items called `names` can be used now; without names, all of ours."""
        self._on_bus(lambda bus: self._check(bus, tuple(names)))

    def get(self, name: str) -> str | None:
        """Return the secret, or None where no keyring has it and none is locked."""

        def read(bus: SecretServiceBus) -> str | None:
            item = self._find(bus, name)
            if item is None:
                _require_all_open(bus)
                return None
            _require_open(bus, item)
            return bus.secret(item.path)

        return self._on_bus(read)

    def put(self, name: str, text: str) -> None:
        """Replace the secret where it is, or make an item in the default keyring."""

        def write(bus: SecretServiceBus) -> None:
            item = self._find(bus, name)
            if item is not None:
                _require_open(bus, item)
                bus.set_secret(item.path, text)
                return
            label = f"{self._program}: the key of this device ({name[:8]})"
            attributes = {**self._attributes(name), "application": APPLICATION}
            bus.create_item(_open_default(bus), label, attributes, text)

        self._on_bus(write)

    def delete(self, name: str, *, may_prompt: bool) -> None:
        """Delete the item. A service that asks for a confirmation may do so if `may_prompt`."""

        def remove(bus: SecretServiceBus) -> None:
            item = self._find(bus, name)
            if item is None:
                _require_all_open(bus)
                return
            if not may_prompt:
                _require_open(bus, item)
            (prompt,) = bus.call(item.path, "Item", "Delete")
            if prompt != NOTHING and may_prompt:
                bus.prompt(prompt, self._deadlines.unlock_s)
            elif prompt != NOTHING:
                bus.dismiss(prompt)
                raise errors.keyring_item_locked("deleting it needs a confirmation")

        self._on_bus(remove)

    def unlock(self, names: Iterable[str] = ()) -> None:
        """Raise the service's prompts until the items called `names` can be used.

        Without a default keyring, the service makes one. Call it for a person's act only.
        """
        wanted = tuple(names)
        try:
            self.check(wanted)
        except UserActionError as error:
            if error.code == "KEYRING_ITEM_LOCKED":
                self.close()  # a refusal that the service remembers ends with the connection
            self._on_bus(lambda bus: self._open(bus, wanted), may_repeat=False)

    def close(self) -> None:
        """Give up the connection, and with it what the service allowed to it."""
        if self._bus is not None:
            self._bus.close()
            self._bus = None

    def _check(self, bus: SecretServiceBus, names: tuple[str, ...]) -> None:
        items = list(self._items(bus, names))
        for item in items:
            _require_open(bus, item)
        if not items and names:
            _require_all_open(bus)
        elif not items:
            _open_default(bus)

    def _open(self, bus: SecretServiceBus, names: tuple[str, ...]) -> None:
        """Open the default keyring, then, if an item is still missing, the others, then items."""
        if not any(self._items(bus, names)):
            self._open_collections(bus, named=bool(names))
        items = list(self._items(bus, names))
        if closed := [item.collection for item in items if _is_locked(bus, item.collection)]:
            bus.unlock(sorted(set(closed)), self._deadlines.unlock_s)
        # An item's lock shows only once its collection is open.
        if asking := [item.path for item in items if _item_is_locked(bus, item.path)]:
            bus.unlock(asking, self._deadlines.unlock_s)
        self._check(bus, names)

    def _open_collections(self, bus: SecretServiceBus, *, named: bool) -> None:
        try:
            default = _default(bus)
        except UserActionError as missing:
            default = self._create_default(bus, missing)
        if _is_locked(bus, default):
            bus.unlock([default], self._deadlines.unlock_s)
        elif named and (locked := _locked_collections(bus)):
            bus.unlock(locked, self._deadlines.unlock_s)

    def _create_default(self, bus: SecretServiceBus, missing: UserActionError) -> str:
        properties = {f"{PREFIX}Collection.Label": ("s", "Default")}
        path, prompt = bus.call(
            SERVICE_PATH, "Service", "CreateCollection", "a{sv}s", properties, "default"
        )
        if path == NOTHING:
            bus.prompt(prompt, self._deadlines.create_s)
        try:
            return _default(bus)
        except UserActionError:
            raise missing from None

    def _attributes(self, name: str) -> dict[str, str]:
        return {"service": self._program, "username": name}

    def _items(self, bus: SecretServiceBus, names: tuple[str, ...]) -> Iterator[_Item]:
        """Yield the items called `names`, else all of ours."""
        if not names:
            yield from _search(bus, {"service": self._program})
        for name in names:
            if (item := self._find(bus, name)) is not None:
                yield item

    def _find(self, bus: SecretServiceBus, name: str) -> _Item | None:
        return next(_search(bus, self._attributes(name)), None)

    def _on_bus(self, use: Callable[[SecretServiceBus], T], *, may_repeat: bool = True) -> T:
        """Call `use` with the connection. A broken one is replaced, once."""
        is_new = self._bus is None
        bus = self._bus = self._bus or SecretServiceBus(self._deadlines.call_s)
        try:
            return _translated(lambda: use(bus))
        except TimeoutError as error:
            self.close()
            raise errors.keyring_timeout(f"none within {self._deadlines.call_s:g} s") from error
        except (ConnectionError, EOFError) as error:
            self.close()
            if is_new or not may_repeat:
                raise errors.keyring_absent(
                    "No keyring service is running for this login.", str(error)
                ) from error
        return self._on_bus(use, may_repeat=False)


def _default(bus: SecretServiceBus) -> str:
    """Return the default collection. Raises KEYRING_NO_DEFAULT or KEYRING_DEFAULT_GONE."""
    from jeepney import DBusErrorResponse

    (path,) = bus.call(SERVICE_PATH, "Service", "ReadAlias", "s", "default")
    if path == NOTHING:
        raise errors.keyring_no_default("the alias names nothing")
    try:
        _is_locked(bus, path)
    except DBusErrorResponse as error:
        if error.name in _GONE:
            raise errors.keyring_default_gone(f"{path}: {error.name}") from error
        raise
    return str(path)


def _open_default(bus: SecretServiceBus) -> str:
    path = _default(bus)
    if _is_locked(bus, path):
        raise errors.keyring_locked("the default collection is locked")
    return path


def _require_all_open(bus: SecretServiceBus) -> None:
    """Raise where an item that was not found may be in a keyring that is locked or gone."""
    _open_default(bus)
    if locked := _locked_collections(bus):
        raise errors.keyring_locked(f"{locked[0]} may hold the item")


def _collections(bus: SecretServiceBus) -> list[str]:
    """List the collections that last, the default one first."""
    paths: list[str] = []
    with suppress(UserActionError):
        paths.append(_default(bus))
    others = bus.read(SERVICE_PATH, "Service", "Collections")
    return paths + [path for path in others if path not in (*paths, _SESSION_COLLECTION)]


def _locked_collections(bus: SecretServiceBus) -> list[str]:
    return [path for path in _collections(bus) if _is_locked(bus, path)]


def _search(bus: SecretServiceBus, attributes: dict[str, str]) -> Iterator[_Item]:
    from jeepney import DBusErrorResponse

    for collection in _collections(bus):
        try:
            (paths,) = bus.call(collection, "Collection", "SearchItems", "a{ss}", attributes)
        except DBusErrorResponse as error:
            if error.name in _GONE or error.name == _IS_LOCKED:
                continue
            raise
        for path in paths:
            yield _Item(path, collection)


def _is_locked(bus: SecretServiceBus, collection: str) -> bool:
    return bool(bus.read(collection, "Collection", "Locked"))


def _item_is_locked(bus: SecretServiceBus, item: str) -> bool:
    return bool(bus.read(item, "Item", "Locked"))


def _require_open(bus: SecretServiceBus, item: _Item) -> None:
    if _is_locked(bus, item.collection):
        raise errors.keyring_locked(f"{item.collection} is locked")
    if _item_is_locked(bus, item.path):
        raise errors.keyring_item_locked(f"{item.path} is locked")


def _translated(call: Callable[[], T]) -> T:
    """Run `call`; turn the service's refusals into our errors."""
    from jeepney import DBusErrorResponse

    try:
        return call()
    except DBusErrorResponse as error:
        if error.name in _NO_SERVICE or error.name.startswith(f"{BUS_ERROR}Spawn."):
            raise errors.keyring_absent(
                "No keyring service is running for this login.", error.name
            ) from error
        if error.name in _NO_ANSWER:
            raise errors.keyring_timeout(error.name) from error
        if error.name == _IS_LOCKED:
            raise errors.keyring_item_locked(error.name) from error
        raise errors.keyring_denied(f"{error.name}: {error.data}") from error
