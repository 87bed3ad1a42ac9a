"""Which backends are refused, what each fault of a keyring becomes, and that no call outlasts its
deadline.
"""

import threading

import keyring.backend
import keyring.errors
import pytest

from agent.errors import AegisError
from agent.identity import os_keyring
from agent.identity.os_keyring import OsKeyStore
from agent.identity.secret_service import Deadlines
from tests.fakes.timeouts import until


class Backend(keyring.backend.KeyringBackend):
    """A well-behaved backend in memory; `fault` is raised by every call."""

    priority = 0.1
    fault: Exception | None = None

    def __init__(self):
        super().__init__()
        self.passwords = {}

    def _act(self):
        if self.fault:
            raise self.fault

    def get_password(self, service, username):
        self._act()
        return self.passwords.get((service, username))

    def set_password(self, service, username, password):
        self._act()
        self.passwords[service, username] = password

    def delete_password(self, service, username):
        self._act()
        del self.passwords[service, username]


@pytest.fixture
def backend(monkeypatch):
    monkeypatch.setattr(
        os_keyring, "ALLOWED_BACKENDS", os_keyring.ALLOWED_BACKENDS | {f"{__name__}.Backend"}
    )
    return Backend()


def code_of(call, *args):
    with pytest.raises(AegisError) as raised:
        call(*args)
    assert raised.value.remedy
    return raised.value.code


def test_secrets_are_stored_and_deleted(backend):
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
def test_each_fault_has_its_code(backend, fault, code):
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
    backend.passwords["AegisAI", "n"] = "not base64!"
    assert code_of(OsKeyStore(lambda: backend).get, "n") == "KEYRING_DENIED"


def test_a_backend_that_hangs_costs_one_thread_and_one_deadline(backend):
    release = threading.Event()
    backend.get_password = lambda *_: release.wait()
    store = OsKeyStore(lambda: backend, Deadlines(call_s=0.05))
    for _ in range(3):
        assert code_of(store.get, "n") == "KEYRING_TIMEOUT"
    (stuck,) = [thread for thread in threading.enumerate() if thread.name == "keyring"]
    backend.get_password = lambda *_: None
    release.set()
    stuck.join()
    until(lambda: answers_none(store))


def test_a_call_beside_an_open_question_says_so_at_once(backend):
    asked, answered = threading.Event(), threading.Event()
    store = OsKeyStore(lambda: backend, Deadlines(call_s=60))
    backend.get_password = lambda *_: asked.set() or answered.wait()
    deleting = threading.Thread(target=lambda: store.delete("n", may_prompt=True))
    backend.passwords["AegisAI", "n"] = "eA=="
    deleting.start()
    asked.wait()
    assert code_of(store.put, "n", b"x") == "KEYRING_PROMPT_OPEN"
    answered.set()
    deleting.join()
    store.put("n", b"x")


def answers_none(store):
    """On a busy machine the short deadline may pass once more."""
    try:
        return store.get("n") is None
    except AegisError:
        return False


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
        AegisError, match=r"keyring\.backends\.\w+\.\w+: it is not known to protect"
    ) as raised:
        store.put("n", b"secret")
    assert raised.value.code == "KEYRING_ABSENT"
    facts = store.describe()
    assert (facts.backend, facts.usable, facts.problem.code) == (name, False, "KEYRING_ABSENT")


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
