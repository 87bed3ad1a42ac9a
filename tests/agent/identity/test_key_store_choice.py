"""The setting chooses the key store; a demonstration's home keeps its key in memory."""

import pytest

from agent.errors import AegisError, UserActionError
from agent.identity.key_store_choice import KeyStoreChoice
from agent.identity.memory_keystore import MemoryKeyStore
from agent.identity.os_keyring import OsKeyStore
from agent.paths import Home


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "home")
    home.prepare()
    return home


def test_each_kind_has_one_store(home):
    kind = ["credential"]
    keys = KeyStoreChoice(home, {}, lambda: kind[-1])
    first = keys.key_store()
    assert first.describe().kind == "credential"
    assert keys.key_store() is first
    kind.append("passphrase")
    assert keys.key_store().describe().kind == "passphrase"
    kind.append("credential")
    assert keys.key_store() is first


@pytest.mark.parametrize(("kind", "used"), [("os", "memory"), ("credential", "credential")])
def test_a_demo_home_never_asks_the_keyring_of_the_person(home, kind, used):
    home.demo_mark.touch()
    assert KeyStoreChoice(home, {}, lambda: kind).key_store().describe().kind == used


def test_an_override_is_used_whatever_the_setting_is(home):
    store = MemoryKeyStore()
    assert KeyStoreChoice(home, {}, lambda: "os", override=store).key_store() is store


def test_an_identity_that_no_server_knows_is_deleted_even_with_a_locked_store(home):
    class Locked(MemoryKeyStore):
        def delete(self, name):
            raise UserActionError("KEYRING_LOCKED", "Locked.", "Unlock it.")

    keys = KeyStoreChoice(home, {}, lambda: "os", override=Locked())
    assert not keys.has_identity()
    keys.identity_file().create()
    assert keys.has_identity()
    keys.discard_identity()
    assert not keys.has_identity()


def choice(home, kind):
    return KeyStoreChoice(home, {}, lambda: kind).key_store()


def test_the_setting_chooses_the_store(home, monkeypatch):
    assert isinstance(choice(home, "os"), OsKeyStore)
    assert choice(home, "credential").describe().problem == "CREDENTIAL_MISSING"
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(AegisError) as raised:
        choice(home, "passphrase").get("n")
    assert raised.value.code == "PASSPHRASE_MISSING"


def test_the_passphrase_is_asked_for_once(home, monkeypatch):
    prompts = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda prompt: prompts.append(prompt) or "correct horse")
    store = choice(home, "passphrase")
    store.put("n", b"x")
    assert store.get("n") == b"x"
    assert len(prompts) == 1
