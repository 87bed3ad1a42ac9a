"""A device that is killed between its charge and the server's answer is charged once, counted
once, and gets the same answer.
"""

import subprocess
import sys

import pytest

from tests.fakes.installation import Installation
from tests.fakes.timeouts import CYCLE_TIMEOUT_S, TIMEOUT_S
from tests.fakes.tls_proxy import Action, TlsProxy

pytestmark = pytest.mark.system


@pytest.fixture
def installation(tmp_path):
    installation = Installation(tmp_path)
    yield installation
    installation.close()


def test_p10_a_device_killed_between_charge_and_answer_is_charged_and_counted_once(
    installation,
):
    with TlsProxy(installation.port) as proxy:
        installation.join(proxy.url)
        proxy.decide = lambda _: Action.HOLD if installation.updates() else Action.PASS
        device = subprocess.Popen(
            [sys.executable, "-m", "agent", "run", "--once"],
            env=installation.environ,
            stdout=subprocess.DEVNULL,
        )
        assert proxy.holding.wait(CYCLE_TIMEOUT_S)
        device.kill()
        device.wait(TIMEOUT_S)
        proxy.decide = lambda _: Action.CUT
        proxy.release()

        ledger = installation.aegis("ledger", "--verify")
        (entry,) = ledger["outbox"]
        assert (ledger["verified"], ledger["totals"]["charges"], entry["state"]) == (
            True,
            1,
            "unsent",
        )
        assert installation.updates() == 1

        proxy.decide = lambda _: Action.PASS
        result = installation.aegis("run", "--once")
        assert (result["outcome"], result["round_id"]) == ("sent", entry["round_id"])
        ledger = installation.aegis("ledger", "--verify")
        (again,) = ledger["outbox"]
        assert (ledger["verified"], ledger["totals"]["charges"], again["state"]) == (
            True,
            1,
            "acknowledged",
        )
        assert (again["attempt"], again["sha256"]) == (entry["attempt"], entry["sha256"])
        assert again["receipt"]["receipt"]["body_sha256"] == entry["sha256"]
        assert installation.updates() == 1
        assert installation.aegis("run", "--once")["outcome"] == "already_contributed"
