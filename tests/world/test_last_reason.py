"""What ended the last cycle is still known when no agent runs: real processes, real server."""

import json
import subprocess
import sys

import pytest

from agent.cli import render
from tests.fakes.installation import Installation
from tests.fakes.timeouts import CYCLE_TIMEOUT_S

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    installation = Installation(tmp_path_factory.mktemp("reason"))
    yield installation
    installation.close()


def once(installation):
    """One cycle; returns the code of its error."""
    done = subprocess.run(
        [sys.executable, "-m", "agent", "run", "--once", "--json"],
        env=installation.environ, capture_output=True, text=True, timeout=CYCLE_TIMEOUT_S,
    )  # fmt: skip
    return json.loads(done.stdout).get("error", {}).get("code", "")


def prepare(installation, url):
    """A home that has joined in name; returns the invitation."""
    made = json.loads(installation.server("token", "create", "--server", url, "--json"))
    installation.aegis("enroll", made["invitation"])
    notice = installation.aegis("consent", "show")["notice_id"]
    installation.aegis("consent", "grant", "--accept", notice)
    return made["invitation"]


def assert_known(installation, code, reading, state):
    status = installation.aegis("status")
    reasons = {reason["code"]: reason for reason in status["reasons"]}
    assert reasons[code]["reading"] == reading
    assert reasons[code]["at"] > 1_600_000_000
    assert status["state"] == state
    shown = f"{code} ({reading}): " if reading else f"{code}: "
    lines = render.status_text(status).splitlines()
    (line,) = [line for line in lines if line.startswith(f"Waits:    {shown}")]
    assert "(seen 20" in line


def test_each_reason_that_ends_a_cycle_outlives_its_process(installation, monkeypatch):
    here = f"https://127.0.0.1:{installation.port}"
    homes = iter(range(9))

    def new_home():
        name = str(installation.folder / f"device-{next(homes)}")
        monkeypatch.setitem(installation.environ, "AEGIS_HOME", name)

    new_home()
    prepare(installation, here)
    monkeypatch.setitem(installation.environ, "DBUS_SESSION_BUS_ADDRESS", "unix:path=/none")
    assert once(installation) == "KEYRING_ABSENT"
    assert_known(installation, "KEYRING_ABSENT", "", "attention")

    new_home()
    installation.aegis("settings", "set", "key_store", "credential")
    prepare(installation, "https://127.0.0.1:9")
    assert once(installation) == "OFFLINE"
    assert_known(installation, "OFFLINE", "", "waiting")

    new_home()
    installation.aegis("settings", "set", "key_store", "credential")
    invitation = prepare(installation, here)
    assert once(installation) == ""  # it has registered; the token is used up
    (device,) = json.loads(installation.server("devices", "list", "--json"))["devices"]
    installation.server("devices", "revoke", device["device_id"])
    assert once(installation) == "REVOKED"
    assert_known(installation, "CYCLE_FAILED", "REVOKED", "error")

    new_home()
    installation.aegis("settings", "set", "key_store", "credential")
    installation.aegis("enroll", invitation)
    notice = installation.aegis("consent", "show")["notice_id"]
    installation.aegis("consent", "grant", "--accept", notice)
    code = once(installation)
    assert code.startswith("TOKEN_")
    assert_known(installation, "CYCLE_FAILED", code, "error")
