"""`aegis demo` as its user starts it: one document, and nothing left behind."""

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path

import jsonschema
import psutil
import pytest

from tests.fakes.timeouts import CYCLE_TIMEOUT_S, TIMEOUT_S, until

pytestmark = pytest.mark.system
SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
SMALL = ("--devices", "4", "--rounds", "2", "--epsilon", "4", "--family", "logistic/1")


@pytest.fixture
def place(tmp_path):
    """Environment of a demonstration whose scratch folder lies where the test can look."""
    (tmp_path / "tmp").mkdir()
    return {
        **os.environ,
        "TMPDIR": str(tmp_path / "tmp"),
        "AEGIS_HOME": str(tmp_path / "home"),
    }


@pytest.fixture
def start(place):
    """Starts demonstrations; ends what a failed test left."""
    with contextlib.ExitStack() as stack:

        def begin(*words, **options):
            process = subprocess.Popen(
                [sys.executable, "-m", "agent", "demo", *SMALL, *words],
                env=place,
                text=True,
                **options,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield begin


def relatives(place):
    """Processes that carry this test's environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if (
                process.environ().get("TMPDIR") == place["TMPDIR"]
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def check_nothing_is_left(place):
    until(lambda: relatives(place) == [], what="the end of all its processes")
    assert list(Path(place["TMPDIR"]).iterdir()) == []


def test_a_small_demonstration_prints_one_document_and_leaves_its_report(place, start, tmp_path):
    process = start(
        "--json", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = process.communicate(timeout=2 * CYCLE_TIMEOUT_S)
    assert process.returncode == 0, err
    document = json.loads(out)
    jsonschema.validate(document, json.loads((SCHEMAS / "demo.schema.json").read_text()))
    assert out.count("\n") == 1
    assert "nobody was asked" in document["consent"]
    assert (document["mode"], document["group_floor"]) == (
        "secagg",
        "test floor: groups of 3, sums of 2",
    )
    assert [line["updates"] for line in document["history"]] == [4, 4]
    assert [group["size"] for line in document["history"] for group in line["groups"]] == [4, 4]
    assert document["auc_after"] >= document["auc_before"] + 0.02
    assert document["accuracy_before"] < 0.6 < document["accuracy_central"]
    assert 3.5 < document["epsilon_spent"] <= 4
    assert "sent 2 of 2 updates" in document["full_agent"]
    report = tmp_path / "home" / "reports" / "demo.json"
    assert json.loads(report.read_text()) == document
    assert report.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    ledger = json.loads((report.parent / "demo-ledger.json").read_text())
    jsonschema.validate(ledger, json.loads((SCHEMAS / "ledger.schema.json").read_text()))
    assert (ledger["verified"], ledger["problems"], ledger["totals"]["sent"]) == (True, [], 2)
    assert [entry["state"] for entry in ledger["outbox"]] == ["acknowledged"] * 2
    check_nothing_is_left(place)


def test_a_head_on_a_base_is_trained_by_real_agents(place, start):
    words = ("--family", "base+head/1", "--rounds", "1", "--json")
    process = start(
        *words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = process.communicate(timeout=2 * CYCLE_TIMEOUT_S)
    assert process.returncode == 0, err
    document = json.loads(out)
    jsonschema.validate(document, json.loads((SCHEMAS / "demo.schema.json").read_text()))
    assert document["family"] == "base+head/1"
    assert document["headline"].startswith("False alarms on software that nobody trained on: ")
    assert [line["updates"] for line in document["history"]] == [4]
    assert "sent 1 of 1 updates" in document["full_agent"]
    assert document["auc_before"] > 0.9 < document["auc_control"]
    assert document["auc_shuffled"] is None
    check_nothing_is_left(place)


@pytest.mark.parametrize(
    ("number", "during"),
    [(signal.SIGINT, "Round 1"), (signal.SIGTERM, "Starting the aggregator")],
    ids=["ctrl-c", "terminated"],
)
def test_an_interrupted_demonstration_ends_everything(place, start, number, during):
    process = start(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for line in process.stderr:
        if line.startswith(during):
            break
    process.send_signal(number)
    _, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 130, err
    assert "interrupted" in err
    assert "Traceback" not in err
    check_nothing_is_left(place)


def test_the_processes_of_a_killed_demonstration_end(place, start):
    process = start(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for line in process.stderr:
        if line.startswith("Round 1"):
            break
    process.kill()
    process.communicate(timeout=TIMEOUT_S)
    until(lambda: relatives(place) == [], what="the end of all its processes")


def test_at_a_terminal_the_demonstration_asks_first_and_a_no_leaves_the_full_agent_out(start):
    ours, its = pty.openpty()
    process = start("--json", stdin=its, stdout=subprocess.PIPE, stderr=its)
    os.close(its)
    shown, is_answered = b"", False
    with contextlib.suppress(OSError):  # the other end has closed
        while select.select([ours], [], [], CYCLE_TIMEOUT_S)[0]:
            shown += os.read(ours, 65536)
            if b"[y/N]" in shown and not is_answered:
                is_answered = bool(os.write(ours, b"n\n"))
    out, _ = process.communicate(timeout=TIMEOUT_S)
    os.close(ours)
    assert process.returncode == 0, shown
    document = json.loads(out)
    assert "You said no" in document["consent"]
    assert document["full_agent"] == "No full agent took part."
    assert [line["updates"] for line in document["history"]] == [4, 4]
