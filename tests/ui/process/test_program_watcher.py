"""A window's process follows the program's files."""

import sys

import pytest

from agent.program import replacement
from agent.program.process import Program
from agent.program.replacement import Replacement
from ui.process import program_watcher
from ui.process.program_watcher import ProgramWatcher

WHOLE, BROKEN = "print('aegis 2')", "raise SystemExit(1)"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for name in ("SETTLE_S", "GONE_S", "FIRST_RETRY_S"):
        monkeypatch.setattr(replacement, name, 0.0)


@pytest.fixture
def program(tmp_path):
    folder = tmp_path / "program"
    folder.mkdir()
    (folder / "__init__.py").write_text(WHOLE)
    return Program((sys.executable, "-S", str(folder / "__init__.py")), (), folder / "__init__.py")


@pytest.fixture
def watcher(program, qapp):
    return ProgramWatcher(program)


def put(program, text):
    new = program.file.with_name("new")
    new.write_text(text)
    new.replace(program.file)


def test_a_replaced_program_that_works_is_announced(qtbot, watcher, program):
    with qtbot.waitSignal(watcher.replaced), qtbot.assertNotEmitted(watcher.removed):
        put(program, WHOLE + "\n")


def test_a_program_that_is_written_in_place_is_noticed_too(qtbot, watcher, program):
    with qtbot.waitSignal(watcher.replaced):
        program.file.write_text(WHOLE + "\n\n")


@pytest.fixture
def answers(monkeypatch):
    """What the new program answered, each time that it was asked."""
    given = []
    answered = Replacement.answered

    def note(self, *, is_whole, now):
        given.append(is_whole)
        return answered(self, is_whole=is_whole, now=now)

    monkeypatch.setattr(Replacement, "answered", note)
    return given


def test_a_broken_program_is_not_announced_until_it_is_mended(qtbot, watcher, program, answers):
    with qtbot.assertNotEmitted(watcher.replaced):
        put(program, BROKEN)
        qtbot.waitUntil(lambda: bool(answers))
    assert not any(answers)
    with qtbot.waitSignal(watcher.replaced):
        put(program, WHOLE)


def test_a_program_that_never_answers_is_not_announced(
    qtbot, watcher, program, answers, monkeypatch
):
    monkeypatch.setattr(program_watcher, "ANSWER_S", 0.05)
    monkeypatch.setattr(replacement, "FIRST_RETRY_S", 3600.0)
    with qtbot.assertNotEmitted(watcher.replaced):
        put(program, "import time; time.sleep(600)")
        qtbot.waitUntil(lambda: answers == [False])


def test_a_removed_program_is_announced(qtbot, watcher, program):
    with qtbot.waitSignal(watcher.removed), qtbot.assertNotEmitted(watcher.replaced):
        program.file.unlink()
        program.file.parent.rmdir()
