"""The cases of strangers' keyrings, where their folder is beside this project."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.errors import AegisError
from agent.identity.os_keyring import OsKeyStore
from agent.identity.secret_service import Deadlines
from tests.fakes.made_keyring import PrivateBus

_PLACES = [folder / "shared/cases/keyring/fake_service.py" for folder in Path(__file__).parents]
SCRIPT = next((place for place in _PLACES if place.exists()), _PLACES[-1])
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(PrivateBus.missing()), reason="not installed: dbus-daemon"),
    pytest.mark.skipif(not SCRIPT.exists(), reason="the folder of cases is not beside the project"),
]


def code_of(call, *args):
    try:
        call(*args)
    except AegisError as error:
        return error.code
    return "fine"


@pytest.mark.parametrize(
    ("mode", "reading", "unlocking"),
    [
        ("item-locked", "KEYRING_ITEM_LOCKED", "KEYRING_PROMPT_UNANSWERED"),
        ("item-locked-ok", "KEYRING_ITEM_LOCKED", "fine"),
        ("no-default", "KEYRING_NO_DEFAULT", "KEYRING_PROMPT_CLOSED"),
        ("dangling", "KEYRING_DEFAULT_GONE", "KEYRING_PROMPT_UNANSWERED"),
        ("unlock-true", "KEYRING_LOCKED", "KEYRING_LOCKED"),
        ("slow", "KEYRING_TIMEOUT", "KEYRING_TIMEOUT"),
    ],
)
def test_a_case_has_its_right_value(tmp_path, monkeypatch, mode, reading, unlocking):
    bus = PrivateBus()
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bus.address)
    log = tmp_path / "log"
    log.touch()
    service = subprocess.Popen(
        [sys.executable, SCRIPT, mode],
        env={**os.environ, "FAKE_LOG": str(log)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert service.stdout.readline() == "ready\n"
    store = OsKeyStore(deadlines=Deadlines(call_s=1, unlock_s=1, create_s=1))
    assert store.describe().problem.code == reading
    assert code_of(store.get, "n") == reading
    assert "PROMPT" not in log.read_text()
    assert "UNLOCK" not in log.read_text()
    assert code_of(store.unlock) == unlocking
    assert code_of(store.get, "n") == ("fine" if unlocking == "fine" else reading)
    store.close()
    service.terminate()
    service.wait()
    service.stdout.close()
    bus.close()
