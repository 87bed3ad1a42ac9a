"""The file opens only with its own item and only in its newest form; a damaged one is refused."""

import json

import pytest

from agent.errors import UserActionError
from agent.identity.device_certificate import new_key_pem
from agent.identity.memory_keystore import MemoryKeyStore
from agent.identity.sealed_identity import Contents, SealedIdentity
from tests.fakes.ca import TestAuthority

KEY_PEM = new_key_pem()


@pytest.fixture
def keystore():
    return MemoryKeyStore()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "identity.aead"


@pytest.fixture
def sealed(path, keystore):
    return SealedIdentity(path, keystore)


def code_of(call, *args):
    with pytest.raises(UserActionError) as raised:
        call(*args)
    assert raised.value.remedy
    return raised.value.code


def outer(path):
    return json.loads(path.read_bytes())


def test_contents_are_read_back_and_are_not_in_the_file(sealed, path):
    contents = Contents(KEY_PEM, erase_secret="5e" * 16)
    sealed.create(contents)
    assert sealed.read() == contents
    assert sealed.exists()
    assert not sealed.is_remnant()
    assert "5e5e" not in path.read_text()
    assert "5e5e" not in repr(contents)


def test_replaced_contents_are_the_only_ones_that_open(sealed, path):
    authority = TestAuthority()
    old = Contents(KEY_PEM, certificate_pem=authority.pem)
    sealed.create(Contents(KEY_PEM))
    sealed.replace(Contents(KEY_PEM), old)
    copy = path.read_bytes()
    new = Contents(KEY_PEM, certificate_pem=TestAuthority().pem)
    sealed.replace(old, new)
    assert sealed.read() == new
    path.write_bytes(copy)
    assert code_of(sealed.read) == "IDENTITY_DAMAGED"


def test_a_missing_file_and_a_remnant_mean_not_enrolled(sealed):
    assert not sealed.exists()
    assert code_of(sealed.read) == code_of(sealed.is_remnant) == "NOT_ENROLLED"
    sealed.write_remnant("ab" * 16)
    assert sealed.exists()
    assert sealed.is_remnant()
    assert sealed.installation_id() == "ab" * 16
    assert code_of(sealed.read) == "NOT_ENROLLED"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b"x" * 100_000,
        b'{"format":1,"installation_id":2,"sealed":3}',
        b'{"format":"aegisai-identity/1","installation_id":"../x","sealed":""}',
    ],
)
def test_p11_a_damaged_file_is_refused_and_can_be_destroyed(sealed, path, content):
    path.write_bytes(content)
    assert code_of(sealed.read) == "IDENTITY_DAMAGED"
    sealed.destroy()
    assert not sealed.exists()


def test_p11_a_file_under_another_installation_id_does_not_open(sealed, path, keystore):
    sealed.create(Contents(KEY_PEM))
    value = outer(path)
    keystore.put("0" * 32, keystore.get(value["installation_id"]))
    path.write_text(json.dumps({**value, "installation_id": "0" * 32}))
    assert code_of(sealed.read) == "IDENTITY_DAMAGED"


@pytest.mark.parametrize(
    "item", [None, b"", b"[]", b'{"key":"zz","certificates":[]}', b'{"key":1}']
)
def test_p11_a_missing_or_foreign_item_is_refused(sealed, path, keystore, item):
    sealed.create(Contents(KEY_PEM))
    name = outer(path)["installation_id"]
    keystore.delete(name)
    if item is not None:
        keystore.put(name, item)
    assert code_of(sealed.read) == code_of(sealed.wrapping_key) == "IDENTITY_DAMAGED"


def test_p11_every_altered_byte_of_the_ciphertext_is_refused(sealed, path):
    sealed.create(Contents(KEY_PEM))
    value = outer(path)
    for at in range(0, len(value["sealed"]) - 4, 17):
        letter = "A" if value["sealed"][at] != "A" else "B"
        altered = value["sealed"][:at] + letter + value["sealed"][at + 1 :]
        path.write_text(json.dumps({**value, "sealed": altered}))
        assert code_of(sealed.read) == "IDENTITY_DAMAGED"


def test_p2_destroy_removes_file_and_item(sealed, path, keystore):
    sealed.create(Contents(KEY_PEM))
    name = sealed.installation_id()
    sealed.destroy()
    sealed.destroy()
    assert not path.exists()
    assert keystore.get(name) is None
