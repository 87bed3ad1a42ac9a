"""A real Secret Service on a private bus: store, lock, unlock, restart, delete; and no prompt
unless a person asked for one.
"""

import sys
from pathlib import Path

import pytest

from tests.fakes import secret_service

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        bool(secret_service.missing()), reason=f"not installed: {secret_service.missing()}"
    ),
]
ROOT = str(Path(__file__).parents[3])
PREAMBLE = """
import secretstorage
from secretstorage.util import DBusAddressWrapper, format_secret, open_session
from agent.errors import AegisError
from agent.identity.os_keyring import OsKeyStore
store = OsKeyStore()
def code(call, *args):
    try:
        call(*args)
    except AegisError as error:
        return error.code
    return "fine"
def collection():
    return secretstorage.Collection(secretstorage.dbus_init())
"""


def run(folder, script, **extra):
    done = secret_service.run(
        [sys.executable, "-W", "ignore", "-c", PREAMBLE + script],
        folder,
        extra={"PYTHONPATH": ROOT, **extra},
    )
    assert done.returncode == 0, done.stderr
    return done


def test_p12_stored_restarted_deleted(tmp_path):
    run(tmp_path, 'store.put("n", bytes(range(100))); assert store.get("n") == bytes(range(100))')
    after = run(
        tmp_path,
        'assert store.get("n") == bytes(range(100)); store.delete("n"); store.delete("n");'
        " print(store.describe())",
    )
    assert "SecretService.Keyring', problem=None" in after.stdout
    run(tmp_path, 'assert store.get("n") is None')


def test_locked_is_told_without_a_prompt_and_ends_with_unlocking(tmp_path):
    script = f"""
store.put("n", b"x")
collection().lock()
found = code(store.get, "n"), code(store.put, "n", b"y"), code(store.delete, "n")
print(*found, store.describe().problem.code)
bus = secretstorage.dbus_init()  # what the login does, through the keyring's own interface
interface = "org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface"
service = DBusAddressWrapper("/org/freedesktop/secrets", interface, bus)
secret = format_secret(open_session(bus), b"{secret_service.PASSWORD}", "text/plain")
login = "/org/freedesktop/secrets/collection/login"
service.call("UnlockWithMasterPassword", "o(oayays)", login, secret)
print(code(store.unlock), store.get("n"))
"""
    done = run(tmp_path, script)
    assert done.stdout.splitlines() == ["KEYRING_LOCKED " * 3 + "KEYRING_LOCKED", "fine b'x'"]
    assert "SystemPrompter" not in done.stderr


def test_only_unlock_raises_a_prompt(tmp_path):
    done = run(tmp_path, 'store.put("n", b"x"); collection().lock(); print(code(store.unlock))')
    assert done.stdout.strip() == "KEYRING_PROMPT_CLOSED"
    assert "SystemPrompter" in done.stderr


def test_a_default_keyring_that_was_deleted_is_no_missing_service(tmp_path):
    script = """
collection().delete()
print(code(store.get, "n"), store.describe().problem.code, code(store.unlock))
"""
    done = run(tmp_path, script)
    assert done.stdout.split() == ["KEYRING_NO_DEFAULT"] * 2 + ["KEYRING_PROMPT_CLOSED"]


def test_no_service_on_the_bus_is_absent(tmp_path):
    script = """
import os
os.environ["DBUS_SESSION_BUS_ADDRESS"] = "unix:path=/nonexistent"
print(code(store.get, "n"), store.describe().backend)
"""
    done = run(tmp_path, script)
    assert done.stdout.split() == ["KEYRING_ABSENT", "keyring.backends.SecretService.Keyring"]


def test_p12_another_backend_on_the_path_is_never_taken(tmp_path):
    """A plug-in with a higher priority, as keyrings.alt installs one, does not get the secret."""
    site = tmp_path / "site"
    (site / "rogue-1.dist-info").mkdir(parents=True)
    (site / "rogue-1.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: rogue\nVersion: 1\n"
    )
    (site / "rogue-1.dist-info" / "entry_points.txt").write_text(
        "[keyring.backends]\nrogue = rogue\n"
    )
    (site / "rogue.py").write_text(
        "import keyring.backend\n"
        "class PlaintextKeyring(keyring.backend.KeyringBackend):\n"
        "    priority = 99\n"
        "    def get_password(self, service, username): raise AssertionError\n"
        "    set_password = delete_password = get_password\n"
    )
    script = """
import keyring
store.put("n", b"x")
print(store.describe().backend, keyring.get_keyring().priority)
"""
    done = run(tmp_path, script, PYTHONPATH=f"{ROOT}:{site}")
    ours, highest = done.stdout.split()
    assert ours == "keyring.backends.SecretService.Keyring"
    assert highest == "99"
