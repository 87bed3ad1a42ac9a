"""Names of files that try to act on the terminal, and bytes that are no text: every command shows
them, with and without an agent, whatever the locale.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import setuptools

from tests.fakes.timeouts import TIMEOUT_S

pytestmark = pytest.mark.system
PROGRAMS = sorted(
    {one.read_bytes(): one for one in Path(setuptools.__file__).parent.glob("*.exe")}.values()
)
"""Different ones: a row is stored once."""
NAMES = (
    b"red\x1b[31m\x9b2J.exe",
    b"caf\xe9\xff.exe",
    b"two\nlines.exe",
    "gpj\u202eexe.exe".encode(),
)
SHOWN = ("red\\x1b[31m\\x9b2J.exe", "caf\\xe9\\xff.exe", "two\\nlines.exe", "gpj\\u202eexe.exe")
OBEYED = ("\x1b", "\x9b", "\u202e", "\udcff")


class Shell:
    def __init__(self, folder):
        self.files = folder / "files"
        self.files.mkdir()
        for program, name in zip(PROGRAMS, NAMES, strict=False):
            shutil.copy(program, os.fsencode(self.files) + b"/" + name)
        self.environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "AEGIS_HOME": str(folder / "home"),
            "XDG_RUNTIME_DIR": str(folder / "run"),
        }

    def start(self, *words, **environ):
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "agent", *words],
            env={**self.environ, **environ}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *words, encoding="utf-8", **environ):
        process = self.start(*words, **environ)
        out, err = process.communicate(timeout=TIMEOUT_S)
        assert b"Traceback" not in err, err.decode(errors="replace")
        return process.returncode, out.decode(encoding), err.decode(encoding)


@pytest.fixture
def shell(tmp_path):
    return Shell(tmp_path)


def assert_shown(text, lines_with=SHOWN):
    assert not any(character in text for character in OBEYED)
    for name in lines_with:
        assert any(name in line for line in text.splitlines()), name


@pytest.mark.parametrize(
    ("encoding", "environ"),
    [
        ("utf-8", {"LC_ALL": "C"}),
        ("utf-8", {"LC_ALL": "C.UTF-8"}),
        ("ascii", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}),
    ],
    ids=["C", "UTF-8", "ASCII"],
)
def test_a_scan_shows_every_name(shell, encoding, environ):
    words = ("scan", "--all", str(shell.files))
    code, out, err = shell.run(*words, encoding=encoding, **environ)
    assert (code, err) == (0, "")
    assert_shown(out)
    assert sum(str(shell.files) in line for line in out.splitlines()) == len(NAMES)
    status = shell.run("status", encoding=encoding, **environ)
    assert status[0] == 0
    code, out, _ = shell.run("scan", str(shell.files), "--json", encoding=encoding, **environ)
    assert code == 0
    assert_shown(out, ())
    paths = {os.fsencode(one["path"]) for one in json.loads(out)["results"]}
    assert paths == {os.fsencode(shell.files) + b"/" + name for name in NAMES}


def test_samples_take_every_name_and_a_running_agent_answers_the_same(shell):
    notice = json.loads(shell.run("consent", "show", "--json")[1])["notice_id"]
    assert shell.run("consent", "grant", "--accept", notice, "--json")[0] == 0
    files = [os.fsdecode(os.fsencode(shell.files) + b"/" + name) for name in NAMES]
    code, out, _ = shell.run("samples", "add", *files, "--label", "benign")
    assert (code, out.splitlines()[0]) == (0, "4 rows added, 0 already stored, 0 refused.")
    assert_shown(shell.run("samples", "list")[1], ())
    agent = shell.start("run")
    try:
        for line in agent.stderr:
            if b"agent.started" in line:
                break
        assert_shown(shell.run("samples", "list")[1], ())
        code, out, err = shell.run("scan", *files)
        assert (code, err) == (0, "")
        assert_shown(out)
        code, out, _ = shell.run("samples", "add", *files, "--label", "malicious")
        assert code == 0
    finally:
        shell.run("quit")
        agent.communicate(timeout=TIMEOUT_S)


def test_refusals_quote_safely(shell):
    for words in (["settings", "get", "\x1b[31m"], ["enroll", "/no/\x1b]0;x\x07"], ["\x1b[31m"]):
        code, out, err = shell.run(*words)
        assert code in (1, 2)
        assert_shown(out + err, ())
