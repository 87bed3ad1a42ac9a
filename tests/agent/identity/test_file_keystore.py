"""The encrypted file opens with the right secret only; where the secret comes from."""

import stat

import pytest

from agent.errors import AegisError
from agent.identity.file_keystore import FileKeyStore, credential, terminal_passphrase


def code_of(call, *args):
    with pytest.raises(AegisError) as raised:
        call(*args)
    assert raised.value.remedy
    return raised.value.code


def test_a_file_opens_with_the_right_secret_only(tmp_path):
    path = tmp_path / "keys.aead"
    store = FileKeyStore(path, "passphrase", lambda: b"correct horse battery")
    assert store.get("n") is None
    store.put("n", b"wrapping key")
    assert store.get("n") == b"wrapping key"
    assert b"wrapping" not in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    wrong = FileKeyStore(path, "passphrase", lambda: b"wrong")
    assert code_of(wrong.get, "n") == "KEYRING_DENIED"
    assert not wrong.describe().usable
    assert store.describe().usable
    store.delete("n")
    store.delete("n")
    assert not path.exists()


@pytest.mark.parametrize("content", [b"", b"x" * 20, bytes(range(100))])
def test_a_damaged_file_is_denied(tmp_path, content):
    path = tmp_path / "keys.aead"
    path.write_bytes(content)
    assert code_of(FileKeyStore(path, "credential", lambda: b"k" * 32).get, "n") == "KEYRING_DENIED"


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
    store = FileKeyStore(path, "credential", lambda: b"k" * 32)
    store.put("n", b"x")
    first = path.read_bytes()
    store.put("n", b"x")
    assert path.read_bytes()[:28] != first[:28]


def test_a_passphrase_needs_a_terminal(monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert code_of(terminal_passphrase) == "PASSPHRASE_MISSING"
