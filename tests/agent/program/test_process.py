"""The command that started this process, and the questions put to a new program."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent.program.process import WHOLE, Program, this_program


@pytest.mark.parametrize(
    ("original", "argv", "command"),
    [
        (["python3", "-P", "-m", "agent", "run"], ["/x/__main__.py", "run"], ["-P", "-m", "agent"]),
        (["python", "-I", "/bin/aegis", "run"], ["/bin/aegis", "run"], ["-I", "/bin/aegis"]),
        (["python", "/bin/aegis"], ["/bin/aegis"], ["/bin/aegis"]),
    ],
)  # fmt: skip
def test_the_command_is_what_was_typed_with_this_interpreter(original, argv, command):
    program = this_program(Path("x"), argv, original)
    assert program.command == (sys.executable, *command)
    assert program.arguments == tuple(argv[1:])
    assert program.question() == [sys.executable, *command, "--version", WHOLE, *argv[1:2]]


def test_a_bundled_program_is_its_own_interpreter(monkeypatch):
    monkeypatch.setattr("sys.frozen", True, raising=False)
    program = this_program(Path("x"), ["/opt/aegis", "run"], ["/opt/aegis", "run"])
    assert program.command == (sys.executable,)


def test_a_replaced_or_written_file_has_another_stamp_and_a_removed_one_none(tmp_path):
    file = tmp_path / "file"
    program = Program((), (), file)
    assert program.stamp() is None
    file.write_text("a")
    first = program.stamp()
    assert program.stamp() == first
    (tmp_path / "new").write_text("a")
    (tmp_path / "new").replace(file)
    second = program.stamp()
    file.write_text("abc")
    assert len({first, second, program.stamp()}) == 3


def program_that(folder, script):
    (folder / "x.py").write_text(script)
    return Program((sys.executable, "-S", str(folder / "x.py")), (), folder)


@pytest.mark.parametrize(
    ("script", "is_whole"),
    [("print('aegis 1')", True), ("pass", False), ("print('aegis 1'); exit(1)", False)],
)
def test_only_a_program_that_answers_is_whole(tmp_path, script, is_whole):
    assert program_that(tmp_path, script).answers() is is_whole


def test_a_program_that_is_not_there_or_never_answers_is_not_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("agent.program.process.ANSWER_S", 0.1)
    assert not program_that(tmp_path, "import time; time.sleep(60)").answers()
    assert not Program((str(tmp_path / "nowhere"),), (), tmp_path).answers()


def test_the_new_program_has_the_same_process_and_arguments(tmp_path):
    script = (
        "import os, sys, json; from pathlib import Path\n"
        "from agent.program.process import Program\n"
        "print(json.dumps([os.getpid(), sys.argv[1:]]), flush=True)\n"
        "if len(sys.argv) == 1:\n"
        "    Program((sys.executable, sys.argv[0]), ('run', 'ö'), Path()).execute()\n"
    )
    (tmp_path / "x.py").write_text(script)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "x.py")], capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(Path(__file__).parents[3]), "LANG": "C.UTF-8"},
    )  # fmt: skip
    first, second = map(json.loads, done.stdout.splitlines())
    assert first[0] == second[0]
    assert (first[1], second[1]) == ([], ["run", "ö"])
