"""The key store: what is refused, what each fault of a keyring becomes, and that no call outlasts
its deadline.
"""

import stat
import threading

import keyring.backend
import keyring.errors
import pytest

from agent.errors import AegisError
from agent.identity import keystore
from agent.identity.keystore import FileKeyStore, MemoryKeyStore, OsKeyStore, credential


class Backend(keyring.backend.KeyringBackend):
    """A well-behaved backend in memory; `fault` is raised by every call."""

    priority = 0.1
    fault: Exception | None = None

    def __init__(self):
        super().__init__()
        self.held = {}

    def _act(self):
        if self.fault:
            raise self.fault

    def get_password(self, service, username):
        self._act()
        return self.held.get((service, username))

    def set_password(self, service, username, password):
        self._act()
        self.held[service, username] = password

    def delete_password(self, service, username):
        self._act()
        del self.held[service, username]


@pytest.fixture
def backend(monkeypatch):
    monkeypatch.setattr(
        keystore, "ALLOWED_BACKENDS", keystore.ALLOWED_BACKENDS | {f"{__name__}.Backend"}
    )
    return Backend()


def code_of(call, *args):
    with pytest.raises(AegisError) as raised:
        call(*args)
    assert raised.value.remedy
    return raised.value.code


def test_secrets_come_back_and_go(backend):
    store = OsKeyStore(lambda: backend)
    assert store.get("n") is None
    store.put("n", bytes(range(100)))
    assert store.get("n") == bytes(range(100))
    store.unlock()
    store.delete("n")
    store.delete("n")
    assert store.get("n") is None
    assert store.describe().usable


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (keyring.errors.KeyringLocked("x"), "KEYRING_LOCKED"),
        (keyring.errors.NoKeyringError("x"), "KEYRING_ABSENT"),
        (keyring.errors.InitError("x"), "KEYRING_ABSENT"),
        (keyring.errors.PasswordSetError("x"), "KEYRING_DENIED"),
        (keyring.errors.PasswordDeleteError("x"), "KEYRING_DENIED"),
        (keyring.errors.KeyringError("x"), "KEYRING_DENIED"),
        (RuntimeError("x"), "KEYRING_DENIED"),
        (OSError("x"), "KEYRING_DENIED"),
    ],
)
def test_faults_are_told_apart(backend, fault, code):
    backend.fault = fault
    store = OsKeyStore(lambda: backend)
    for call in (lambda: store.get("n"), lambda: store.put("n", b"x"), lambda: store.delete("n")):
        assert code_of(call) == code


def test_a_secret_that_windows_could_not_hold_is_refused_before_the_call(backend):
    store = OsKeyStore(lambda: backend)
    store.put("n", bytes(960))
    assert code_of(store.put, "n", bytes(961)) == "KEYRING_TOO_LARGE"
    assert store.get("n") == bytes(960)


def test_an_item_that_is_not_ours_is_denied(backend):
    backend.held["AegisAI", "n"] = "not base64!"
    assert code_of(OsKeyStore(lambda: backend).get, "n") == "KEYRING_DENIED"


def test_a_backend_that_hangs_costs_one_thread_and_one_deadline(backend):
    release = threading.Event()
    backend.get_password = lambda *_: release.wait()
    store = OsKeyStore(lambda: backend, deadline_s=0.05)
    before = threading.active_count()
    for _ in range(3):
        assert code_of(store.get, "n") == "KEYRING_LOCKED"
    assert threading.active_count() == before + 1
    release.set()
    store._stuck.join()
    store._deadline_s = keystore.CALL_DEADLINE_S
    backend.get_password = lambda *_: None
    assert store.get("n") is None


@pytest.mark.parametrize(
    "name",
    [
        "keyring.backends.null.Keyring",
        "keyring.backends.fail.Keyring",
        "keyring.backends.chainer.ChainerBackend",
    ],
)
def test_p12_backends_that_do_not_protect_are_refused_by_name(monkeypatch, name):
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", name)
    store = OsKeyStore()
    with pytest.raises(
        AegisError, match=r"keyring\.backends\.\w+\.\w+ is not known to protect"
    ) as raised:
        store.put("n", b"secret")
    assert raised.value.code == "KEYRING_ABSENT"
    facts = store.describe()
    assert (facts.backend, facts.usable, facts.problem) == (name, False, "KEYRING_ABSENT")


def test_p12_a_plain_text_backend_is_refused_also_from_a_configuration_file(monkeypatch, tmp_path):
    monkeypatch.delenv("PYTHON_KEYRING_BACKEND", raising=False)
    (tmp_path / "keyrings_alt_like.py").write_text(
        "import keyring.backend\n"
        "class PlaintextKeyring(keyring.backend.KeyringBackend):\n"
        "    priority = 99\n"
        "    def get_password(self, service, username): raise AssertionError\n"
        "    set_password = delete_password = get_password\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("keyring.util.platform_.config_root", lambda: tmp_path)
    (tmp_path / "keyringrc.cfg").write_text(
        "[backend]\ndefault-keyring=keyrings_alt_like.PlaintextKeyring\n"
    )
    store = OsKeyStore()
    assert code_of(store.put, "n", b"secret") == "KEYRING_ABSENT"
    assert store.describe().backend == "keyrings_alt_like.PlaintextKeyring"


@pytest.mark.parametrize("name", ["no.such.module", "json.Nothing", "nodots"])
def test_a_configured_backend_that_does_not_exist_is_denied(monkeypatch, name):
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", name)
    assert code_of(OsKeyStore().get, "n") == "KEYRING_DENIED"


def test_a_subclass_of_an_allowed_backend_is_not_the_allowed_one(backend):
    class Disguised(Backend):
        pass

    assert code_of(OsKeyStore(Disguised).get, "n") == "KEYRING_ABSENT"


def test_memory_keeps_and_forgets():
    store = MemoryKeyStore()
    store.put("n", b"x")
    assert store.get("n") == b"x"
    store.delete("n")
    store.delete("n")
    store.unlock()
    assert store.get("n") is None
    assert store.describe().kind == "memory"


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


def test_the_systemd_credential_is_read_or_asked_for(tmp_path):
    assert code_of(credential, {}) == "CREDENTIAL_MISSING"
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert code_of(credential, environ) == "CREDENTIAL_MISSING"
    (tmp_path / "aegisai-key").write_bytes(b"short")
    assert code_of(credential, environ) == "CREDENTIAL_MISSING"
    (tmp_path / "aegisai-key").write_bytes(bytes(range(32)))
    assert credential(environ) == bytes(range(32))


def test_the_setting_chooses_the_store(tmp_path, monkeypatch):
    assert isinstance(keystore.chosen("os", tmp_path, {}), OsKeyStore)
    assert keystore.chosen("credential", tmp_path, {}).describe().problem == "CREDENTIAL_MISSING"
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert code_of(keystore.chosen("passphrase", tmp_path, {}).get, "n") == "PASSPHRASE_MISSING"


def test_the_passphrase_is_asked_for_once(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda prompt: asked.append(prompt) or "correct horse")
    store = keystore.chosen("passphrase", tmp_path, {})
    store.put("n", b"x")
    assert store.get("n") == b"x"
    assert len(asked) == 1
