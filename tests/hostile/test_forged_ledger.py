"""A program of the same user, without the keyring, writes a ledger that shows nothing spent.

Real processes: the device's next cycle must refuse it, and say so.
"""

import hashlib
import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from tests.fakes.installation import Installation
from tests.fakes.timeouts import CYCLE_TIMEOUT_S, until

pytestmark = pytest.mark.system

FILES = ("agent.sqlite3", "agent.sqlite3-wal", "agent.sqlite3-shm", "ledger-head")


def copy(home, target):
    target.mkdir(exist_ok=True)
    for name in FILES:
        (target / name).unlink(missing_ok=True)
        if (home / name).exists():
            shutil.copy(home / name, target / name)


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    """A device that has sent two updates; `early` and `late` are copies of its ledger."""
    installation = Installation(tmp_path_factory.mktemp("forged"), target=1)
    try:
        installation.join(f"https://localhost:{installation.port}")
        assert installation.aegis("run", "--once")["outcome"] == "sent"
        copy(installation.folder / "device", installation.folder / "early")
        sent = until(lambda: installation.aegis("run", "--once")["outcome"] == "sent")
        assert sent
        copy(installation.folder / "device", installation.folder / "late")
        yield installation
    finally:
        installation.close()


def rewrite(database, change=lambda body: body, keep=None):
    """Write every charge anew under a chain that is right by itself."""
    for trigger in ("charge_no_update", "charge_no_delete"):
        database.execute(f"DROP TRIGGER IF EXISTS {trigger}")
    database.execute("PRAGMA foreign_keys = OFF")
    rows = database.execute("SELECT seq, body FROM charge ORDER BY seq").fetchall()
    database.execute("DELETE FROM charge")
    previous = bytes(32)
    for seq, text in rows[:keep]:
        body = json.dumps(change(json.loads(text)), sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(previous + body.encode()).hexdigest()
        database.execute("INSERT INTO charge VALUES (?, ?, ?)", (seq, body, digest))
        previous = bytes.fromhex(digest)
    if keep is not None:
        database.execute("DELETE FROM outbox WHERE charge_seq > ?", (keep,))


def free(body):
    return {**body, "rho_units": 0, "rho_local_units": 0}


def prices_rewritten(database, home):
    rewrite(database, free)
    (home / "ledger-head").unlink()


def everything_removed(database, home):
    rewrite(database, keep=0)
    database.execute("DELETE FROM charge_seal")
    database.execute("DELETE FROM value WHERE key LIKE 'ledger%'")
    (home / "ledger-head").unlink()


def last_charge_removed_and_head_forged(database, home):
    rewrite(database, keep=1)
    database.execute("DELETE FROM charge_seal WHERE seq > 1")
    (seal,) = database.execute("SELECT seal FROM charge_seal WHERE seq = 1").fetchone()
    head = json.loads((home / "ledger-head").read_text())
    (home / "ledger-head").write_text(json.dumps({**head, "charges": 1, "seal": seal}))


FORGERIES = {
    prices_rewritten: "LEDGER_ALTERED",
    everything_removed: "LEDGER_MISSING",
    last_charge_removed_and_head_forged: "LEDGER_SET_BACK",
}


def refused_cycle(installation, environ=None):
    """Run a cycle that must fail; return the code of its error."""
    done = subprocess.run(
        [sys.executable, "-m", "agent", "run", "--once", "--json"],
        env=environ or installation.environ,
        capture_output=True,
        text=True,
        timeout=CYCLE_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    return done.stderr.strip().splitlines()[-1].split(": ")[1]


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
def test_p5_a_forged_ledger_counts_as_spent(victim, forge):
    home = victim.folder / "device"
    copy(victim.folder / "late", home)
    with closing(sqlite3.connect(home / "agent.sqlite3")) as database:
        forge(database, home)
        database.commit()
    sent = victim.updates()
    assert refused_cycle(victim) == FORGERIES[forge]
    assert victim.updates() == sent
    done = subprocess.run(
        [sys.executable, "-m", "agent", "ledger", "--verify"],
        env=victim.environ,
        capture_output=True,
        text=True,
        timeout=CYCLE_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 1
    assert "PROBLEM" in done.stdout
    assert "ε 1 of 1" in done.stdout


def test_p5_ledger_and_head_set_back_together_are_noticed_by_the_server(victim):
    home = victim.folder / "device"
    copy(victim.folder / "early", home)
    sent = victim.updates()
    assert refused_cycle(victim) == "LEDGER_FORKED"
    assert victim.updates() == sent
    status = victim.aegis("status")
    assert "LEDGER_FORKED" in [reason["code"] for reason in status["reasons"]]
    assert status["budget"]["epsilon_ledger"] == 1.0


def test_p4_without_its_key_a_ledger_is_shown_and_not_charged(victim):
    copy(victim.folder / "late", victim.folder / "device")
    locked = {**victim.environ, "CREDENTIALS_DIRECTORY": str(victim.folder / "nowhere")}
    assert refused_cycle(victim, locked) == "CREDENTIAL_MISSING"
    done = subprocess.run(
        [sys.executable, "-m", "agent", "ledger", "--verify"],
        env=locked,
        capture_output=True,
        text=True,
        timeout=CYCLE_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0
    assert "2 charges" in done.stdout
    assert "Seals: not verified. The service has no credential" in done.stdout
    assert "Seals: every one" in _text(victim, "ledger", "--verify")


def _text(victim, *words):
    return subprocess.run(
        [sys.executable, "-m", "agent", *words],
        env=victim.environ,
        capture_output=True,
        text=True,
        timeout=CYCLE_TIMEOUT_S,
        check=True,
    ).stdout
