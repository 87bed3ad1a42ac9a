"""The encrypted file opens with the right secret only; where the secret comes from."""

import stat

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from agent.errors import AegisError
from agent.identity.file_keystore import FileKeyStore, credential


def code_of(call, *args):
    with pytest.raises(AegisError) as raised:
        call(*args)
    assert raised.value.remedy
    return raised.value.code


def store_of(path, secret, kind="passphrase"):
    return FileKeyStore(path, kind, lambda _: secret)


@pytest.mark.parametrize(
    ("kind", "code"), [("passphrase", "PASSPHRASE_WRONG"), ("credential", "CREDENTIAL_WRONG")]
)
def test_a_file_opens_with_the_right_secret_only(tmp_path, kind, code):
    path = tmp_path / "keys.aead"
    store = store_of(path, b"correct horse battery", kind)
    assert store.get("n") is None
    store.put("n", b"wrapping key")
    assert store.get("n") == b"wrapping key"
    assert b"wrapping" not in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    whole = path.read_bytes()
    wrong = store_of(path, b"wrong", kind)
    for call in (
        lambda: wrong.get("n"),
        lambda: wrong.put("n", b"x"),
        lambda: wrong.delete("n"),
        wrong.unlock,
    ):
        assert code_of(call) == code
    assert wrong.describe().problem.code == code
    assert (wrong.opens(b"wrong"), wrong.opens(b"correct horse battery")) == (False, True)
    assert path.read_bytes() == whole
    assert store.describe().usable
    store.delete("n")
    store.delete("n")
    assert not path.exists()


def test_a_wrong_secret_costs_one_derivation_and_the_right_one_still_opens(tmp_path, monkeypatch):
    path = tmp_path / "keys.aead"
    store_of(path, b"right").put("n", b"x")
    secrets = [b"wrong"] * 50 + [b"right"]
    store = FileKeyStore(path, "passphrase", lambda _: secrets.pop(0))
    derived = []
    real = Scrypt.derive
    monkeypatch.setattr(Scrypt, "derive", lambda *given: derived.append(1) or real(*given))
    for _ in range(50):
        assert code_of(store.get, "n") == "PASSPHRASE_WRONG"
    assert len(derived) == 1
    assert store.get("n") == b"x"


@pytest.mark.parametrize("content", [b"", b"x" * 20, bytes(range(40)), b"aegisai-keystore/2\n"])
def test_a_file_that_is_cut_short_is_damaged(tmp_path, content):
    path = tmp_path / "keys.aead"
    path.write_bytes(content)
    assert code_of(store_of(path, b"k" * 32).get, "n") == "KEY_STORE_DAMAGED"


def test_a_damaged_file_is_told_from_a_wrong_secret(tmp_path):
    path = tmp_path / "keys.aead"
    store = store_of(path, b"right")
    store.put("n", b"x")
    whole = path.read_bytes()
    for place in (len(whole) - 1, len(whole) - 20, 19 + 16 + 16):
        changed = bytearray(whole)
        changed[place] ^= 1
        path.write_bytes(changed)
        assert code_of(store.get, "n") == "KEY_STORE_DAMAGED"
        assert code_of(store_of(path, b"wrong").get, "n") == "PASSPHRASE_WRONG"


def test_a_file_of_the_first_format_is_read_and_written_in_the_second(tmp_path):
    path = tmp_path / "keys.aead"
    salt, nonce = bytes(16), bytes(range(12))
    key = Scrypt(salt=salt, length=32, n=2**15, r=8, p=1).derive(b"right")
    sealed = AESGCM(key).encrypt(nonce, b'{"n": "eA=="}', b"aegisai-keystore/1")
    path.write_bytes(salt + nonce + sealed)
    assert code_of(store_of(path, b"wrong").get, "n") == "PASSPHRASE_WRONG"
    store = store_of(path, b"right")
    assert store.get("n") == b"x"
    store.put("m", b"y")
    assert path.read_bytes().startswith(b"aegisai-keystore/2\n")
    assert (store.get("n"), store.get("m")) == (b"x", b"y")


def test_looking_at_a_store_that_is_not_made_yet_asks_for_no_passphrase(tmp_path):
    def asked(_):
        raise AssertionError

    assert FileKeyStore(tmp_path / "none", "passphrase", asked).describe().usable


def test_the_systemd_credential_is_read_or_its_absence_reported(tmp_path):
    assert code_of(credential, {}) == "CREDENTIAL_MISSING"
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert code_of(credential, environ) == "CREDENTIAL_MISSING"
    (tmp_path / "aegisai-key").write_bytes(b"short")
    assert code_of(credential, environ) == "CREDENTIAL_MISSING"
    (tmp_path / "aegisai-key").write_bytes(bytes(range(32)))
    assert credential(environ) == bytes(range(32))


def test_each_write_has_a_fresh_salt_and_nonce(tmp_path):
    path = tmp_path / "keys.aead"
    store = store_of(path, b"k" * 32, "credential")
    store.put("n", b"x")
    first = path.read_bytes()
    store.put("n", b"x")
    assert path.read_bytes()[19:51] != first[19:51]
