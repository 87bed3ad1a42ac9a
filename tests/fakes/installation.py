"""A real aggregator and a real device, each in processes of its own, as a person uses them."""

import json
import os
import sqlite3
import subprocess
import sys
import urllib.request
from contextlib import closing
from pathlib import Path

import setuptools

from tests.fakes.aggregator import safetensors
from tests.fakes.server_commands import INIT, end_server, server_command, start_server
from tests.fakes.timeouts import CYCLE_TIMEOUT_S, TIMEOUT_S, free_port

PROGRAMS = sorted(Path(setuptools.__file__).parent.glob("*.exe"))
"""Windows programs that every machine with these tests has."""


class Installation:
    """An aggregator and the home of one device; `join` enrols the device and adds samples."""

    def __init__(self, folder, target=2):
        """`target`: updates that fill a round."""
        self.folder = folder
        self.port, self.operator_port = free_port(), free_port()
        (folder / "keys").mkdir()
        (folder / "keys" / "aegisai-key").write_text("0123456789abcdef" * 2)
        self.environ = {
            **os.environ,
            "AEGIS_HOME": str(folder / "device"),
            "AEGIS_SERVER_HOME": str(folder / "server"),
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "CREDENTIALS_DIRECTORY": str(folder / "keys"),
        }
        (folder / "start.safetensors").write_bytes(safetensors([0.0] * 116))
        ports = ("--host", "127.0.0.1", "--port", str(self.port))
        ports += ("--operator-port", str(self.operator_port))
        # More than two rounds a day.
        price = ("--rounds-planned", "100")
        rounds = ("--rounds-target", str(target), "--rounds-minimum", "1", "--min-rows", "4")
        self.server(
            *INIT,
            "--mode",
            "local",
            "--model",
            str(folder / "start.safetensors"),
            *ports,
            *rounds,
            *price,
        )
        self.start_server()

    def start_server(self):
        """Start the aggregator, again after `kill_server`."""
        self.process = start_server(self.environ)

    def kill_server(self):
        """End it at once, as in a power cut, even while it is stopped."""
        self.process.kill()
        self.process.wait(TIMEOUT_S)
        self.process.stdout.close()

    def ledger_head(self):
        """(charges, reserved until) of the one device, as the aggregator remembers them."""
        with closing(sqlite3.connect(self.folder / "server" / "aggregator.sqlite3")) as database:
            return database.execute("SELECT count, reserved_until FROM ledger_heads").fetchone()

    def server(self, *words):
        return server_command(self.environ, *words)

    def aegis(self, *words):
        command = [sys.executable, "-m", "agent", *words, "--json"]
        done = subprocess.run(
            command,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=CYCLE_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def updates(self):
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.operator_port}/api/v1/stats", timeout=TIMEOUT_S
        ) as answer:
            return json.load(answer)["updates"]

    def join(self, url, key_store="credential"):
        invitation = json.loads(self.server("token", "create", "--server", url, "--json"))[
            "invitation"
        ]
        self.aegis("settings", "set", "key_store", key_store)
        # No cycle waits for these limits: other tests do that.
        for key in ("cpu.share_in_use", "cpu.share_idle", "busy.share"):
            self.aegis("settings", "set", key, "100")
        self.aegis("enroll", invitation)
        self.aegis("consent", "grant", "--accept", self.aegis("consent", "show")["notice_id"])
        added = self.aegis("samples", "add", *map(str, PROGRAMS), "--label", "benign")["added"]
        assert added >= 4

    def close(self):
        end_server(self.process)
