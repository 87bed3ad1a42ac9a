"""Reading commands work where nothing can be written, and leave nothing behind."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import setuptools

from tests.fakes.other_user import needs_users
from tests.fakes.person import UID, Person

pytestmark = [pytest.mark.system, needs_users]
PROGRAM = sorted(Path(setuptools.__file__).parent.glob("*.exe"))[0]
READING = (
    ["status"],
    ["doctor"],
    ["consent", "show"],
    ["ledger"],
    ["ledger", "--verify"],
    ["settings", "get"],
    ["samples", "list"],
    ["quit"],
    ["--version"],
    ["--help"],
)
WRITING = (["pause"], ["settings", "set", "idle.only", "on"])
DRIVER = """
import contextlib, io, json, os, sys
from agent.cli.main import main
for home in json.loads(sys.argv[1]):
    os.environ["AEGIS_HOME"] = home
    for words in json.loads(sys.argv[2]):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = main(words)
            except SystemExit as end:
                code = end.code
        print(json.dumps([home, words, code, out.getvalue(), err.getvalue()]))
"""
"""Every command in one process: starting Python for each of them takes most of the time."""


@pytest.fixture
def person():
    person = Person()
    yield person
    person.close()


def everything(folder):
    return sorted((str(path), path.lstat().st_mtime_ns) for path in folder.rglob("*"))


def run_all(person, homes, commands, **more):
    program = (sys.executable, "-P", "-c", DRIVER, json.dumps(homes), json.dumps(commands))
    code, out, err = person.run(program=program, **more)
    assert (code, err) == (0, "")
    return [json.loads(line) for line in out.splitlines()]


def test_reading_works_without_a_home_and_makes_none(person):
    closed = person.login / "closed"
    closed.mkdir(mode=0o555)
    os.chown(closed, UID, UID)
    (person.login / "file").touch()
    homes = [str(closed), str(closed / "missing"), str(person.login / "file"), "/proc/none"]
    homes.append(str(person.login / "home" / "missing"))  # it could be made, but need not be
    before = everything(person.login)
    for home, words, code, out, err in run_all(person, homes, READING):
        assert (code, err, bool(out)) == (0, "", True), (home, words, out, err)
    assert everything(person.login) == before
    for home, words, code, _, err in run_all(person, homes[:-1], WRITING):
        assert code == 1, (home, words)
        assert len(err.splitlines()) == 1
    assert everything(person.login) == before


@pytest.mark.parametrize("words", [["scan", str(PROGRAM)], ["doctor"]], ids=["scan", "doctor"])
def test_scan_and_doctor_start_their_workers(person, words):
    before = everything(person.login)
    answer = person.json(*words, home="/proc/none")
    assert everything(person.login) == before
    if words[0] == "scan":
        assert answer["results"][0]["verdict"] in ("benign", "malicious", "unsure")
    else:
        checks = {check["name"]: check for check in answer["checks"]}
        assert checks["home"]["ok"] is False
        assert checks["worker sandbox"]["value"] != "could not be tested here"


def test_a_home_on_a_read_only_disk_shows_what_is_in_it(person):
    """As root, whom no mode stops; with writes of a killed agent that are only in SQLite's log."""
    home = person.login / "home" / "aegis"
    notice = person.json("consent", "show", as_root=True)["notice_id"]
    person.json("consent", "grant", "--accept", notice, as_root=True)
    person.json("settings", "set", "idle.only", "on", as_root=True)
    copy = person.login / "copy"
    killed = (
        "import os, shutil, sys; from agent.app import build; from pathlib import Path;"
        "home, copy = map(Path, sys.argv[1:]); agent = build(home);"
        "agent.effective.set('idle.minutes', 7); shutil.copytree(home, copy); os._exit(0)"
    )
    code, _, err = person.run(
        program=(sys.executable, "-P", "-c", killed, str(home), str(copy)), as_root=True
    )
    assert code == 0, err
    assert (copy / "agent.sqlite3-wal").stat().st_size
    before = everything(copy)
    more = {"home": copy, "read_only": copy, "as_root": True}
    status = person.json("status", **more)
    assert status["consent"]["state"] == "GRANTED"
    assert any("cannot keep anything" in note for note in status["notes"])
    settings = {s["key"]: s["value"] for s in person.json("settings", "get", **more)["settings"]}
    assert (settings["idle.only"], settings["idle.minutes"]) == (True, 7)
    assert person.json("scan", str(PROGRAM), **more)["results"]
    assert everything(copy) == before
    shutil.rmtree(copy)
