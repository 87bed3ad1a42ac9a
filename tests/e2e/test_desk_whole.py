"""One person's whole journey with real processes: no, then yes by keyboard, a round with its
receipt, a withdrawal during training, yes again, and the erasure.
"""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from agent.detector.synthetic import generate
from tests.fakes.graphical_login import GraphicalLogin, needs_login
from tests.fakes.notifier_host import NotifierHost
from tests.fakes.server_commands import INIT, end_server, server_command, start_server
from tests.fakes.timeouts import CYCLE_TIMEOUT_S, TIMEOUT_S, free_port, until
from tests.fakes.tls_proxy import TlsProxy

pytestmark = [pytest.mark.system, needs_login]
QUESTION = "Help improve malware detection"


class Aggregator:
    """`aegis-server` on loopback, for a single device."""

    def __init__(self, folder):
        self.home = folder / "server"
        self.port, self.operator_port = free_port(), free_port()
        self.environ = {**os.environ, "AEGIS_SERVER_HOME": str(self.home)}
        ports = (
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--operator-port",
            str(self.operator_port),
        )
        rounds = (
            "--rounds-target",
            "1",
            "--rounds-minimum",
            "1",
            "--min-rows",
            "4",
            "--rounds-planned",
            "100",
            "--train-steps",
            "200",
        )
        self.command(*INIT, "--mode", "local", *ports, *rounds)
        self.process = start_server(self.environ)

    def command(self, *arguments):
        return server_command(self.environ, *arguments)

    def invitation(self, url):
        return json.loads(self.command("token", "create", "--server", url, "--json"))["invitation"]

    def devices(self):
        return json.loads(self.command("devices", "list", "--json"))["devices"]

    def rows_about(self, device_id):
        """How many rows of the server's database name the device, by table."""
        found = {}
        for path in self.home.rglob("*.db*"):
            if path.suffix not in (".db", ".sqlite"):
                continue
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
                tables = [
                    name
                    for (name,) in database.execute(
                        "select name from sqlite_master where type='table'"
                    )
                ]
                for table in tables:
                    count = sum(
                        device_id in map(str, row)
                        for row in database.execute(f'select * from "{table}"')
                    )
                    if count:
                        found[f"{path.name}:{table}"] = count
            database.close()
        return found

    def close(self):
        end_server(self.process)


@pytest.fixture
def aggregator(tmp_path):
    aggregator = Aggregator(tmp_path)
    yield aggregator
    aggregator.close()


@pytest.fixture
def login(tmp_path):
    with (
        GraphicalLogin(tmp_path, keyring=True) as login,
        NotifierHost(login.environ["DBUS_SESSION_BUS_ADDRESS"]) as host,
    ):
        login.host = host
        yield login


def answer(login, *keys):
    """Open the question as a person does and answer it by keyboard."""
    (
        login.start("window", "consent").wait(TIMEOUT_S)
        if login.windows("^AegisAI$")
        else login.start("window", "consent")
    )
    login.focus(login.window(QUESTION))
    login.keys(*keys)
    until(lambda: not login.windows(QUESTION), what="the end of the dialog")


def secrets_stored(login):
    """How many entries of AegisAI the login's keyring has."""
    script = (
        "import secretstorage as s; c=s.dbus_init();"
        " print(len(list(s.get_default_collection(c).search_items({'service':'AegisAI'}))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=login.environ,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    return int(done.stdout)


def rows_file(folder):
    table = generate(np.random.default_rng(5), 6_000)
    path = folder / "rows.npz"
    np.savez(path, X=table.rows, y=table.labels)
    return path


def test_p2_from_no_to_erased(login, aggregator, tmp_path):
    host = login.host
    with TlsProxy(aggregator.port) as proxy:
        login.start("tray")
        until(lambda: host.items, what="the icon")
        login.call("enroll", {"invitation": aggregator.invitation(proxy.url)})
        login.call("settings.set", {"key": "busy.share", "value": 100})

        answer(login, "Tab", "Tab", "space")
        login.until_status(lambda status: status["consent"]["state"] == "REFUSED")
        assert proxy.flows == []
        assert secrets_stored(login) == 0

        answer(login, "Tab", "space")
        login.until_status(lambda status: status["consent"]["state"] == "GRANTED")
        assert login.call("samples.import", {"path": str(rows_file(tmp_path))})["added"] > 1000
        login.call("run_now")  # by itself an update is ready only after half an hour
        until(lambda: _has_sent(login), CYCLE_TIMEOUT_S, "the first update")
        entry = login.call("ledger", {"verify": True})["outbox"][0]
        shown = login.call("sent.show", {"attempt": entry["attempt"]})
        assert entry["receipt"]["receipt"]["body_sha256"] == entry["sha256"]
        assert (
            entry["receipt"]["receipt"]["bytes"]
            == Path(shown["path"]).stat().st_size
            == entry["bytes"]
        )
        (device,) = aggregator.devices()
        assert secrets_stored(login) > 0

        identity = (login.home / "identity.aead").read_bytes()
        until(lambda: _trains(login), CYCLE_TIMEOUT_S, "the next training")
        host.click("Stop contributing")
        login.until_status(
            lambda status: status["consent"]["state"] == "WITHDRAWN" and status["activity"] == ""
        )
        before = len(proxy.flows)

        answer(login, "Tab", "space")
        login.until_status(lambda status: status["consent"]["state"] == "GRANTED")
        assert (login.home / "identity.aead").read_bytes() == identity
        until(
            lambda: len(proxy.flows) > before or login.call("run_now") is None,
            what="the server's answer without a new invitation",
        )
        assert len(aggregator.devices()) == 1

        erased = login.call("erase")
        assert erased["server_cannot_be_told"] is False
        login.until_status(lambda status: not status["erase_pending"], "the server's confirmation")
        assert secrets_stored(login) == 0
        assert aggregator.rows_about(device["device_id"]) == {}
        host.click("Quit")
        login.until_gone()
        stored = b"".join(path.read_bytes() for path in login.home.rglob("*") if path.is_file())
        assert device["device_id"].encode() not in stored
        assert not (login.home / "identity.aead").exists()


def _has_sent(login):
    """Request a cycle while the agent waits; whether one has sent.

    Once one has, no other is requested: the agent would be at the next one already.
    """
    status = login.status()
    if status["state"] == "waiting" and not status["sent"]["count"]:
        login.call("run_now")
    return status["sent"]["count"] >= 1


def _trains(login):
    """Request a cycle while the agent waits; whether one is training."""
    status = login.status()
    if status["state"] == "waiting":
        login.call("run_now")
    return status["state"] == "training"
