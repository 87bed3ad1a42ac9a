"""A device killed from outside between its charge and the server's answer: charged once, counted
once, answered alike.
"""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.fakes.aggregator import safetensors
from tests.fakes.timeouts import CYCLE_TIMEOUT_S, TIMEOUT_S, free_port
from tests.fakes.tls_proxy import Action, TlsProxy

pytestmark = pytest.mark.system


class Scene:
    """A real aggregator and a real device, each in its own processes, with a proxy between them."""

    def __init__(self, folder):
        self.folder = folder
        self.port, self.operator_port = free_port(), free_port()
        (folder / "keys").mkdir()
        (folder / "keys" / "aegisai-key").write_text("0123456789abcdef" * 2)
        self.environ = {
            **os.environ,
            "AEGIS_HOME": str(folder / "device"),
            "AEGIS_SERVER_HOME": str(folder / "server"),
            "AEGIS_POLICY": str(folder / "none"),
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "CREDENTIALS_DIRECTORY": str(folder / "keys"),
        }
        (folder / "start.safetensors").write_bytes(safetensors([0.0] * 116))
        ports = (
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--operator-port",
            str(self.operator_port),
        )
        rounds = ("--rounds-target", "2", "--rounds-minimum", "1", "--min-rows", "4")
        self.server(
            "init", "--mode", "local", "--model", str(folder / "start.safetensors"), *ports, *rounds
        )
        self.process = subprocess.Popen(
            [sys.executable, "-m", "server_stub.cli.main", "run"],
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for line in self.process.stdout:
            if "is ready" in line:
                break

    def server(self, *words):
        command = [sys.executable, "-m", "server_stub.cli.main", *words]
        return subprocess.run(
            command,
            env=self.environ,
            check=True,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        ).stdout

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

    def join(self, url):
        invitation = json.loads(self.server("token", "create", "--server", url, "--json"))[
            "invitation"
        ]
        self.aegis("settings", "set", "key_store", "credential")
        for key in (
            "cpu.share_in_use",
            "cpu.share_idle",
            "busy.share",
        ):  # to wait for these limits is another test's
            self.aegis("settings", "set", key, "100")
        self.aegis("enroll", invitation)
        self.aegis("consent", "grant", "--accept", self.aegis("consent", "show")["notice_id"])
        launchers = sorted(Path(__import__("setuptools").__file__).parent.glob("*.exe"))
        assert self.aegis("samples", "add", *map(str, launchers), "--label", "benign")["added"] >= 4

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(TIMEOUT_S)
        self.process.stdout.close()


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path)
    yield scene
    scene.close()


def test_p10_killed_between_charge_and_answer_it_is_charged_once_and_counted_once(scene):
    with TlsProxy(scene.port) as proxy:
        scene.join(proxy.url)
        proxy.decide = lambda _: Action.HOLD if scene.updates() else Action.PASS
        device = subprocess.Popen(
            [sys.executable, "-m", "agent", "run", "--once"],
            env=scene.environ,
            stdout=subprocess.DEVNULL,
        )
        assert proxy.held.wait(CYCLE_TIMEOUT_S)
        device.kill()
        device.wait(TIMEOUT_S)
        proxy.decide = lambda _: Action.CUT
        proxy.release()

        ledger = scene.aegis("ledger", "--verify")
        (entry,) = ledger["outbox"]
        assert (ledger["verified"], ledger["totals"]["charges"], entry["state"]) == (
            True,
            1,
            "unsent",
        )
        assert scene.updates() == 1

        proxy.decide = lambda _: Action.PASS
        result = scene.aegis("run", "--once")
        assert (result["outcome"], result["round_id"]) == ("sent", entry["round_id"])
        ledger = scene.aegis("ledger", "--verify")
        (again,) = ledger["outbox"]
        assert (ledger["verified"], ledger["totals"]["charges"], again["state"]) == (
            True,
            1,
            "acknowledged",
        )
        assert (again["attempt"], again["sha256"]) == (entry["attempt"], entry["sha256"])
        assert again["receipt"]["receipt"]["body_sha256"] == entry["sha256"]
        assert scene.updates() == 1
        assert scene.aegis("run", "--once")["outcome"] == "already_contributed"
