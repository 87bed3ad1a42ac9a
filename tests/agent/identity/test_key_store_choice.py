"""The setting chooses the key store; a demo's home keeps its key in memory."""

import pytest

from agent.errors import UserActionError
from agent.identity.key_store_choice import KeyStoreChoice
from agent.identity.keystore import MemoryKeyStore
from agent.paths import Home


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "home")
    home.prepare()
    return home


def test_one_kind_is_one_store(home):
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
def test_a_demos_home_never_asks_the_keyring_of_the_person(home, kind, used):
    home.demo_mark.touch()
    assert KeyStoreChoice(home, {}, lambda: kind).key_store().describe().kind == used


def test_a_store_that_stands_in_is_used_whatever_the_setting_says(home):
    store = MemoryKeyStore()
    assert KeyStoreChoice(home, {}, lambda: "os", override=store).key_store() is store


def test_an_identity_that_no_server_knows_goes_even_with_a_locked_store(home):
    class Locked(MemoryKeyStore):
        def delete(self, name):
            raise UserActionError("KEYRING_LOCKED", "Locked.", "Unlock it.")

    keys = KeyStoreChoice(home, {}, lambda: "os", override=Locked())
    assert not keys.has_identity()
    keys.identity_file().create()
    assert keys.has_identity()
    keys.discard_identity()
    assert not keys.has_identity()
