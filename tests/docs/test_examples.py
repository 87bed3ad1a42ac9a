"""Every file in docs/examples runs as its first lines say."""

import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from agent.config import machine_policy
from agent.detector.schema import FEATURE_NAMES
from agent.paths import Home
from agent.store.database import Database
from agent.store.head import LedgerHead
from agent.store.ledger import Charge, Ledger
from agent.store.ledger_key import LedgerKey

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs/examples"
TESTED = {
    "README.md",
    "make_table.py",
    "policy.toml",
    "recompute_epsilon.py",
    "score_files.py",
    "simulate.sh",
}


@pytest.fixture
def environ(tmp_path):
    """As in a clone with `.venv/bin` on the path; `aegis` is this working copy's."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, command in (
        ("aegis", f'"{sys.executable}" -m agent'),
        ("python", f'"{sys.executable}"'),
    ):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        program.chmod(0o755)
    return {
        **os.environ,
        "AEGIS_HOME": str(tmp_path / "home"),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }


def run(environ, *command, code=0):
    done = subprocess.run(
        [str(part) for part in command], cwd=ROOT, env=environ, capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr
    return done.stdout


def test_every_example_is_tried_here_and_listed():
    names = {path.name for path in EXAMPLES.iterdir() if path.is_file()}
    listed = (EXAMPLES / "README.md").read_text("utf-8")
    assert names == TESTED
    assert all(f"]({name})" in listed for name in names - {"README.md"})


def test_files_are_scored_by_the_packaged_model(environ):
    said = run(
        environ, "python", EXAMPLES / "score_files.py", "agent/detector/example.bin", "LICENSE"
    )
    first, last = said.splitlines()
    assert first.split()[1] == "benign"
    assert first.endswith("example.bin")
    assert last.startswith("1 files scored by the demonstration model; 1 are no Windows programs")


def test_a_table_holds_rows_for_devices_and_the_same_rows_to_judge_on(environ, tmp_path):
    tables = {}
    for devices in (3, 5):
        path = tmp_path / f"{devices}.npz"
        script = EXAMPLES / "make_table.py"
        run(
            environ,
            "python",
            script,
            path,
            "--devices",
            devices,
            "--rows-each",
            20,
            "--holdout",
            90,
        )
        with np.load(path) as held:
            tables[devices] = {name: held[name] for name in ("X", "y", "split")}
    for devices, table in tables.items():
        assert table["X"].shape == (devices * 20 + 90, len(FEATURE_NAMES))
        assert table["y"].shape == table["split"].shape == table["X"].shape[:1]
        assert table["split"].sum() == 90
        assert np.array_equal(table["X"][-90:], tables[3]["X"][-90:])


def test_the_simulation_shows_the_same_rounds_with_and_without_privacy(environ):
    said = run(environ, EXAMPLES / "simulate.sh", 33, 2)
    private, plain = said.split("--- ")[1:]
    assert "Groups of 33" in private
    assert "NOT PRIVATE" not in private
    assert "NOT PRIVATE" in plain


@pytest.fixture
def ledger_file(environ, tmp_path):
    """What `aegis ledger --json` prints for a device that took part twice."""
    home = Home(tmp_path / "home")
    home.prepare()
    database = Database(home.database)
    ledger = Ledger(database, LedgerHead(home.ledger_head))
    ledger.sealed.open(LedgerKey(bytes(32)), 1_800_000_000, was_sealed=False)
    for number in (1, 2):
        body = b"update %d" % number
        facts = {"mode": "secagg", "model_version": number, "model_digest": "0" * 64}
        charge = Charge(
            at=1_800_000_000 + number,
            task_id="task",
            round_id=number,
            attempt=f"{number:032x}",
            config_digest="0" * 64,
            rho_units=3_359_731_420,
            rho_local_units=40_000_000_000,
            body_sha256=sha256(body).hexdigest(),
            body_bytes=len(body),
            **facts,
        )
        ledger.record(charge, body, closes_at=1_900_000_000)
    database.close()
    path = tmp_path / "ledger.json"
    path.write_text(run(environ, "aegis", "ledger", "--json"))
    return path


def test_epsilon_is_recomputed_from_a_ledger(environ, ledger_file):
    said = run(environ, "python", EXAMPLES / "recompute_epsilon.py", ledger_file)
    assert "2 charges" in said
    shown = json.loads(ledger_file.read_text())["totals"]["epsilon_lifetime"]
    assert f"the program says {shown:.6f}" in said


def test_a_ledger_whose_total_is_too_small_is_noticed(environ, ledger_file):
    document = json.loads(ledger_file.read_text())
    document["totals"]["epsilon_lifetime"] *= 0.99
    ledger_file.write_text(json.dumps(document))
    run(environ, "python", EXAMPLES / "recompute_epsilon.py", ledger_file, code=1)


def test_an_export_can_be_recomputed_too(environ, ledger_file, tmp_path):
    export = tmp_path / "mine.json"
    run(environ, "aegis", "export", export)
    assert "2 charges" in run(environ, "python", EXAMPLES / "recompute_epsilon.py", export)


def test_the_policy_is_read_and_only_tightens():
    policy = machine_policy.read((EXAMPLES / "policy.toml").read_bytes(), "policy.toml")
    assert policy.denied == ""
    assert policy.bounds["cpu.share_idle"] == 25
    assert policy.bounds["hours.sunday"] == "00:00-06:00,20:00-24:00"
