"""The state of a real Secret Service on a private bus is read without a prompt."""

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
from agent.errors import AegisError
from agent.identity.secret_service import check_open, unlock
def code(call):
    try:
        call()
    except AegisError as error:
        return error.code
    return "fine"
bus = secretstorage.dbus_init()
"""


def run(folder, script):
    done = secret_service.run(
        [sys.executable, "-W", "ignore", "-c", PREAMBLE + script],
        folder,
        extra={"PYTHONPATH": ROOT},
    )
    assert done.returncode == 0, done.stderr
    return done


def test_an_open_collection_passes_and_unlocking_it_raises_no_prompt(tmp_path):
    done = run(tmp_path, "print(code(check_open), code(unlock))")
    assert done.stdout.split() == ["fine", "fine"]
    assert "SystemPrompter" not in done.stderr


def test_a_locked_collection_is_reported_without_a_prompt(tmp_path):
    done = run(tmp_path, "secretstorage.Collection(bus).lock(); print(code(check_open))")
    assert done.stdout.split() == ["KEYRING_LOCKED"]
    assert "SystemPrompter" not in done.stderr


def test_a_prompt_that_the_person_closes_leaves_it_locked(tmp_path):
    done = run(tmp_path, "secretstorage.Collection(bus).lock(); print(code(unlock))")
    assert done.stdout.split() == ["KEYRING_LOCKED"]
    assert "SystemPrompter" in done.stderr


def test_a_login_without_a_default_collection_has_no_keyring(tmp_path):
    script = """
secretstorage.Collection(bus).delete()
print(code(check_open))
"""
    assert run(tmp_path, script).stdout.split() == ["KEYRING_ABSENT"]
