"""A device or a server that is killed at any step between admission and receipt: the device is
charged once, counted once, gets the same answer, and is not taken for a copy of itself.
"""

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from tests.fakes.installation import Installation
from tests.fakes.timeouts import CYCLE_TIMEOUT_S, TIMEOUT_S, until
from tests.fakes.tls_proxy import Action, TlsProxy

pytestmark = pytest.mark.system


@pytest.fixture
def installation(tmp_path):
    installation = Installation(tmp_path)
    yield installation
    installation.close()


def started(installation):
    """A cycle of the device, under way."""
    return subprocess.Popen(
        [sys.executable, "-m", "agent", "run", "--once"],
        env=installation.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def charges(installation):
    with closing(sqlite3.connect(installation.folder / "device" / "agent.sqlite3")) as database:
        return database.execute("SELECT count(*) FROM charge").fetchone()[0]


def is_reserved(installation):
    head = installation.ledger_head()
    return head is not None and head[1] > 0


def assert_counted_once(installation):
    ledger = installation.aegis("ledger", "--verify")
    (entry,) = ledger["outbox"]
    assert (ledger["verified"], ledger["totals"]["charges"], entry["state"]) == (
        True,
        1,
        "acknowledged",
    )
    assert ledger["seal"]["verified"]
    assert installation.updates() == 1
    assert installation.ledger_head() == (1, 0)
    assert entry["receipt"]["receipt"]["ledger_count"] == 1


def test_p10_a_device_killed_between_admission_and_charge_waits_and_pays_once(installation):
    with TlsProxy(installation.port) as proxy:
        installation.join(proxy.url)
        proxy.decide = lambda _: Action.HOLD if is_reserved(installation) else Action.PASS
        device = started(installation)
        assert proxy.holding.wait(CYCLE_TIMEOUT_S)
        device.kill()
        device.wait(TIMEOUT_S)
        assert charges(installation) == 0
        proxy.decide = lambda _: Action.PASS
        proxy.release()

        # Another copy could have been admitted: nobody else is until that admission is over.
        waiting = installation.aegis("run", "--once")
        assert (waiting["outcome"], waiting["reasons"]) == ("waiting", ["BACKOFF"])
        assert charges(installation) == 0
        server = installation.folder / "server" / "aggregator.sqlite3"
        with closing(sqlite3.connect(server)) as database:  # stands in for a minute
            database.execute("UPDATE ledger_heads SET reserved_until = 0")
            database.commit()
        assert installation.aegis("run", "--once")["outcome"] == "sent"
        assert_counted_once(installation)


def test_p10_both_killed_between_charge_and_arrival_pay_and_count_once(installation):
    with TlsProxy(installation.port) as proxy:
        installation.join(proxy.url)

        def stop_after_admission(_):
            if is_reserved(installation):
                installation.process.send_signal(signal.SIGSTOP)
            return Action.PASS

        proxy.decide = stop_after_admission
        device = started(installation)
        until(lambda: charges(installation) == 1, CYCLE_TIMEOUT_S, "the charge")
        device.kill()
        device.wait(TIMEOUT_S)
        installation.kill_server()
        proxy.decide = lambda _: Action.PASS
        installation.start_server()
        assert (installation.updates(), installation.ledger_head()[0]) == (0, 0)
        assert installation.aegis("run", "--once")["outcome"] == "sent"
        assert_counted_once(installation)


def test_p10_a_server_killed_between_storing_and_answering_gives_the_same_answer(installation):
    with TlsProxy(installation.port) as proxy:
        installation.join(proxy.url)
        proxy.decide = lambda _: Action.HOLD if installation.updates() else Action.PASS
        device = started(installation)
        assert proxy.holding.wait(CYCLE_TIMEOUT_S)
        installation.kill_server()
        proxy.decide = lambda _: Action.CUT
        proxy.release()
        assert device.wait(CYCLE_TIMEOUT_S) == 1
        installation.start_server()
        proxy.decide = lambda _: Action.PASS
        assert installation.aegis("run", "--once")["outcome"] == "sent"
        assert_counted_once(installation)


def test_p10_a_device_killed_between_charge_and_answer_is_charged_and_counted_once(
    installation,
):
    with TlsProxy(installation.port) as proxy:
        installation.join(proxy.url)
        proxy.decide = lambda _: Action.HOLD if installation.updates() else Action.PASS
        device = started(installation)
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
