"""An enrolled home that is copied (a cloned machine, a restored backup), on real processes."""

import json
import shutil
import subprocess
import sys

import pytest

from tests.fakes.installation import Installation
from tests.fakes.timeouts import CYCLE_TIMEOUT_S, until

pytestmark = pytest.mark.system


class Copies:
    """The homes of one device, by name; "device" is the one that was enrolled."""

    def __init__(self, installation):
        self.installation = installation

    def make(self, name, of="device"):
        folder = self.installation.folder
        shutil.copytree(folder / of, folder / name, symlinks=True)

    def start(self, name, *words):
        environ = {**self.installation.environ, "AEGIS_HOME": str(self.installation.folder / name)}
        return subprocess.Popen(
            [sys.executable, "-m", "agent", *words, "--json"],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def result(self, process):
        """The answer of a command, or the code of its error."""
        out, err = process.communicate(timeout=CYCLE_TIMEOUT_S)
        return (
            json.loads(out)
            if process.returncode == 0
            else err.strip().splitlines()[-1].split(": ")[1]
        )

    def run(self, name, *words):
        return self.result(self.start(name, *words))

    def run_once(self, name):
        """How a cycle of a copy ended: an outcome, or the code of its error."""
        return _outcome(self.run(name, "run", "--once"))

    def run_once_together(self, *names):
        return [_outcome(self.result(process)) for process in [self.start_once(n) for n in names]]

    def start_once(self, name):
        return self.start(name, "run", "--once")

    def acknowledged(self, name):
        """The updates that the server confirmed to a copy, by digest."""
        outbox = self.run(name, "ledger")["outbox"]
        return {entry["sha256"] for entry in outbox if entry["state"] == "acknowledged"}


def _outcome(answer):
    return answer if isinstance(answer, str) else answer["outcome"]


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    installation = Installation(tmp_path_factory.mktemp("twins"), target=1)
    try:
        installation.join(f"https://localhost:{installation.port}")
        copies = Copies(installation)
        assert copies.run_once("device") == "sent"
        copies.make("copy")
        copies.make("other")
        yield copies
    finally:
        installation.close()


def test_p5_two_copies_at_the_same_time_spend_from_one_ledger(copies):
    until(lambda: "LEDGER_FORKED" in copies.run_once_together("device", "copy"))
    taken = copies.acknowledged("device"), copies.acknowledged("copy")
    assert len(taken[0] | taken[1]) == copies.installation.updates() > 1
    assert taken[0] <= taken[1] or taken[1] <= taken[0]


def test_p5_a_copied_home_that_joins_again_keeps_what_was_spent(copies):
    server = copies.installation
    sent = server.updates()
    assert copies.run_once("other") == "LEDGER_FORKED"
    assert server.updates() == sent
    status = copies.run("other", "status")
    assert "LEDGER_FORKED" in [reason["code"] for reason in status["reasons"]]
    assert status["state"] == "attention"

    invitation = json.loads(
        server.server("token", "create", "--server", f"https://localhost:{server.port}", "--json")
    )["invitation"]
    copies.run("other", "enroll", invitation)
    assert copies.run_once("other") == "budget_spent"
    ledger = copies.run("other", "ledger", "--verify")
    assert (ledger["verified"], ledger["seal"]["verified"]) == (True, True)
    assert [charge["mode"] for charge in ledger["charges"]] == ["local", "carried_over"]
    (reason,) = [
        reason
        for reason in copies.run("other", "status")["reasons"]
        if reason["code"] == "BUDGET_SPENT"
    ]
    # The signed time of the offers, in whole seconds, may differ from this computer's by a few.
    late = reason["until"] - ledger["charges"][1]["at"] - 365 * 24 * 3600
    assert -5 < late < 120
    assert server.updates() == sent
