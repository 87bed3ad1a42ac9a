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
        def delete(self, name, *, may_prompt=False):
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
    assert choice(home, "credential").describe().problem.code == "CREDENTIAL_MISSING"
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(AegisError) as raised:
        choice(home, "passphrase").get("n")
    assert raised.value.code == "PASSPHRASE_MISSING"


def test_a_passphrase_is_chosen_twice_and_asked_for_once(home, monkeypatch):
    prompts = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda prompt: prompts.append(prompt) or "correct horse")
    store = choice(home, "passphrase")
    store.put("n", b"x")
    assert store.get("n") == b"x"
    assert len(prompts) == 2
    again = choice(home, "passphrase")
    assert (again.get("n"), again.get("n")) == (b"x", b"x")
    assert len(prompts) == 3


def test_a_wrong_passphrase_is_asked_for_again_when_the_person_unlocks(home, monkeypatch):
    typed = ["right", "right", "a", "b", "c", "right"]
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda _: typed.pop(0))
    choice(home, "passphrase").put("n", b"x")
    store = choice(home, "passphrase")
    for _ in range(3):
        with pytest.raises(AegisError) as raised:
            store.get("n")
        assert raised.value.code == "PASSPHRASE_WRONG"
    store.unlock()
    assert store.get("n") == b"x"


def test_a_passphrase_comes_from_a_file(home, tmp_path):
    (tmp_path / "p").write_text("correct horse\n")
    for _ in range(2):
        keys = KeyStoreChoice(home, {}, lambda: "passphrase", passphrase_from=str(tmp_path / "p"))
        keys.identity_file().create()
    (tmp_path / "p").write_text("wrong")
    keys = KeyStoreChoice(home, {}, lambda: "passphrase", passphrase_from=str(tmp_path / "p"))
    with pytest.raises(AegisError) as raised:
        keys.open_file()
    assert raised.value.code == "PASSPHRASE_WRONG"
    keys.destroy_identity()  # needs no passphrase
    assert list(home.root.glob("*.aead")) == []
    keys.open_file()
