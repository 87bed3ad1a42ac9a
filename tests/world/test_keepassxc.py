"""A real KeePassXC as it ships: it asks before a program may use an entry."""

import threading

import pytest

from agent.errors import AegisError
from agent.identity.os_keyring import OsKeyStore
from tests.fakes import keepassxc
from tests.fakes.keepassxc import ACCESS, UNLOCK

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(keepassxc.missing()), reason=f"not installed: {keepassxc.missing()}"),
]


@pytest.fixture
def program(tmp_path, monkeypatch):
    program = keepassxc.KeePassXC(tmp_path)
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", program.bus.address)
    yield program
    program.close()


def code_of(call, *args):
    try:
        call(*args)
    except AegisError as error:
        return error.code
    return "fine"


def codes_without_a_person(store):
    problem = store.describe().problem
    return {
        problem.code if problem else "fine",
        code_of(store.get, "n"),
        code_of(store.put, "n", b"new"),
        code_of(store.delete, "n"),
    }


class Person:
    """Unlocks, while the test presses the keys."""

    def __init__(self, store):
        self.code = ""
        self._thread = threading.Thread(target=self._unlock, args=(store,))
        self._thread.start()

    def _unlock(self, store):
        self.code = code_of(store.unlock)

    def outcome(self):
        self._thread.join()
        return self.code


def test_keepassxc_asks_only_when_the_person_unlocks(program):
    first = OsKeyStore()
    first.put("n", b"secret")
    first.put("n", b"wrapping key")
    assert first.get("n") == b"wrapping key"
    assert not program.window(ACCESS)

    # The agent starts anew: KeePassXC does not know its connection.
    store = OsKeyStore()
    assert codes_without_a_person(store) == {"KEYRING_ITEM_LOCKED"}
    assert not program.window(ACCESS)

    person = Person(store)
    program.press(ACCESS, "Escape")  # "Deny All & Future"
    assert person.outcome() == "KEYRING_PROMPT_CLOSED"
    assert code_of(store.get, "n") == "KEYRING_ITEM_LOCKED"

    person = Person(store)
    program.press(ACCESS, "Return")
    assert person.outcome() == "fine"
    assert [store.get("n") for _ in range(3)] == [b"wrapping key"] * 3
    assert store.describe().usable

    program.lock()
    assert codes_without_a_person(store) == {"KEYRING_LOCKED"}
    assert not program.window(UNLOCK)

    person = Person(store)
    program.open_database()
    assert person.outcome() == "fine"
    assert store.get("n") == b"wrapping key"  # it remembers the connection

    store.delete("n", may_prompt=True)
    assert store.get("n") is None
    first.close()
    store.close()
