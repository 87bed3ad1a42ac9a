"""Full agents, each in a process of its own with its own key store and ledger, take part in two
rounds of a real aggregator.
"""

import json
import os
import subprocess
import sys
import urllib.request

import pytest

from tests.fakes.installation import PROGRAMS
from tests.fakes.server_commands import INIT, end_server, server_command, start_server
from tests.fakes.timeouts import CYCLE_TIMEOUT_S, TIMEOUT_S, free_port, until

pytestmark = pytest.mark.system

DEVICES = 3
FLOOR = {"min_group": 3, "min_sum": 2, "gamma_milli": 0}


class Participant:
    """One device: a home, a key in a credential file, and the rows of a few programs."""

    def __init__(self, folder, invitation):
        self.environ = {
            **os.environ,
            "AEGIS_HOME": str(folder / "home"),
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "CREDENTIALS_DIRECTORY": str(folder / "keys"),
        }
        (folder / "keys").mkdir(parents=True)
        (folder / "keys" / "aegisai-key").write_text(os.urandom(16).hex())
        (folder / "home").mkdir(mode=0o700)
        (folder / "home" / "demo").write_text(json.dumps(FLOOR))
        self.aegis("settings", "set", "key_store", "credential")
        # No cycle waits for these limits: other tests do that.
        for key in ("cpu.share_in_use", "cpu.share_idle", "busy.share"):
            self.aegis("settings", "set", key, "100")
        self.aegis("enroll", invitation)
        self.aegis("consent", "grant", "--accept", self.aegis("consent", "show")["notice_id"])
        added = self.aegis("samples", "add", *map(str, PROGRAMS), "--label", "benign")["added"]
        assert added >= 4

    def aegis(self, *words):
        command = [sys.executable, "-m", "agent", *words, "--json"]
        done = subprocess.run(
            command,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def start(self):
        command = [sys.executable, "-m", "agent", "run", "--once", "--json"]
        return subprocess.Popen(
            command, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )


class Cohort:
    """An aggregator and the devices that are enrolled with it."""

    def __init__(self, folder):
        self.operator_port = free_port()
        self.environ = {**os.environ, "AEGIS_SERVER_HOME": str(folder / "server")}
        ports = ("--host", "127.0.0.1", "--port", "0", "--operator-port", str(self.operator_port))
        times = (
            "--lead-seconds",
            "2",
            "--join-seconds",
            "30",
            "--phase-seconds",
            "120",
            "--round-seconds",
            "600",
            "--poll-seconds",
            "5",
        )
        floor = (
            "--group-floor",
            "3",
            "--ready-target",
            str(DEVICES),
            "--rounds-minimum",
            "2",
            "--min-rows",
            "4",
        )
        self.server(*INIT, *ports, *times, *floor)
        self.process = start_server(self.environ)
        self.participants = [
            Participant(folder / f"device-{number}", self.invitation()) for number in range(DEVICES)
        ]

    def server(self, *words):
        return server_command(self.environ, *words)

    def invitation(self):
        return json.loads(self.server("token", "create", "--json"))["invitation"]

    def stats(self):
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.operator_port}/api/v1/stats", timeout=TIMEOUT_S
        ) as answer:
            return json.load(answer)

    def model_version(self):
        return max(
            model["version"]
            for model in json.loads(self.server("model", "show", "--json"))["models"]
        )

    def run_cycles(self):
        """Run a cycle of every device at the same time, and return what each printed."""
        running = [participant.start() for participant in self.participants]
        results = []
        for process in running:
            out, err = process.communicate(timeout=CYCLE_TIMEOUT_S)
            assert process.returncode == 0, err
            results.append(json.loads(out))
        return results

    def close(self):
        end_server(self.process)


@pytest.fixture
def cohort(tmp_path):
    cohort = Cohort(tmp_path)
    yield cohort
    cohort.close()


def test_ledgers_after_two_rounds_show_what_the_server_acknowledged(cohort):
    for number in (1, 2):
        assert [result["outcome"] for result in cohort.run_cycles()] == ["sent"] * DEVICES
        until(lambda number=number: cohort.model_version() > number, what="the new model")
    for participant in cohort.participants:
        ledger = participant.aegis("ledger", "--verify")
        assert ledger["verified"] is True
        assert [charge["mode"] for charge in ledger["charges"]] == ["secagg", "secagg"]
        for entry in ledger["outbox"]:
            receipt = entry["receipt"]["receipt"]
            assert (entry["state"], receipt["bytes"], receipt["body_sha256"]) == (
                "acknowledged",
                entry["bytes"],
                entry["sha256"],
            )
        totals = ledger["totals"]
        assert 0 < totals["epsilon_ledger"] < totals["epsilon_local"]
        status = participant.aegis("status")
        assert status["group_floor"] == "test floor: groups of 3, sums of 2"
        assert status["model"]["version"] >= 2
