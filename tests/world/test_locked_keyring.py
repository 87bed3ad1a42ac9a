"""A real agent whose keyring is locked, asks first or never answers: withdrawing waits for none."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.ipc.places import socket_of
from agent.paths import Home
from tests.fakes.installation import Installation
from tests.fakes.made_keyring import LOGIN, MadeKeyring, PrivateBus
from tests.fakes.timeouts import CYCLE_TIMEOUT_S, until

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(PrivateBus.missing()), reason="not installed: dbus-daemon"),
]
AT_ONCE_S = 8.0
"""Less than the 10 seconds that a call to a keyring may take; most of it starts Python."""


@pytest.fixture(scope="module")
def joined(tmp_path_factory):
    """A device that has joined, with its key in the keyring."""
    bus = PrivateBus()
    keyring = MadeKeyring(bus.address)
    installation = Installation(tmp_path_factory.mktemp("i"))
    installation.environ["DBUS_SESSION_BUS_ADDRESS"] = bus.address
    installation.join(f"https://127.0.0.1:{installation.port}", key_store="os")
    installation.aegis("run", "--once")
    assert keyring.items
    yield installation, keyring
    installation.close()
    keyring.close()
    bus.close()


def lock(keyring):
    keyring.collections[LOGIN] = True


def ask_first(keyring):
    keyring.asks_for |= set(keyring.items)


def never_answer(keyring):
    keyring.silent |= {"ReadAlias", "Get"}


@pytest.fixture(params=[lock, ask_first, never_answer])
def closed(joined, request):
    installation, keyring = joined
    keyring.shown.clear()
    yield installation, keyring, lambda: request.param(keyring)
    keyring.collections[LOGIN] = False
    keyring.asks_for.clear()
    keyring.silent.clear()


def grant(installation):
    notice = installation.aegis("consent", "show")["notice_id"]
    installation.aegis("consent", "grant", "--accept", notice)


@pytest.mark.parametrize("is_running", [True, False])
def test_withdrawing_does_not_wait_for_a_keyring(closed, is_running):
    installation, keyring, close = closed
    grant(installation)
    agent = start_agent(installation) if is_running else None
    close()
    began = time.monotonic()
    status = installation.aegis("consent", "withdraw")
    assert time.monotonic() - began < AT_ONCE_S
    assert (status["consent"]["state"], status["state"]) == ("WITHDRAWN", "off")
    if agent is not None:
        installation.aegis("quit")
        agent.wait()
    assert installation.aegis("status")["consent"]["state"] == "WITHDRAWN"
    assert keyring.shown == []


def start_agent(installation):
    agent = subprocess.Popen(
        [sys.executable, "-m", "agent", "run"], env=installation.environ, stderr=subprocess.DEVNULL
    )
    home = Home(Path(installation.environ["AEGIS_HOME"]))
    until(lambda: agent.poll() is not None or socket_of(home).exists())
    assert agent.poll() is None
    return agent


def test_erasing_with_a_closed_keyring_changes_nothing(closed):
    installation, keyring, close = closed
    home = Path(installation.environ["AEGIS_HOME"])
    close()
    before = (home / "identity.aead").read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "agent", "erase", "--json"],
        env=installation.environ,
        capture_output=True,
        text=True,
        timeout=CYCLE_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 1
    error = json.loads(done.stdout)["error"]
    assert error["code"] in ("KEYRING_LOCKED", "KEYRING_ITEM_LOCKED", "KEYRING_TIMEOUT")
    assert "--here-only" in error["remedy"]
    assert (home / "identity.aead").read_bytes() == before
    assert keyring.items
    assert keyring.shown == []


def test_a_person_unlocks_from_the_command_line(joined):
    installation, keyring = joined
    lock(keyring)
    keyring.shown.clear()
    installation.aegis("unlock")
    assert keyring.shown == ["Prompt"]
    assert not keyring.collections[LOGIN]
