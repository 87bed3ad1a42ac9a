"""No page is clipped, pale or empty: light and dark, right to left, with texts 40 % longer."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PySide6.QtCore import QCoreApplication, Qt, QTranslator
from PySide6.QtWidgets import QFrame, QLabel, QWidget

from tests.ui import measure, windows
from tests.ui.shots import OK_LINE


@pytest.mark.parametrize("name", windows.EXAMPLES)
def test_a_page_can_be_read_from_right_to_left(qapp, theme, name):
    qapp.setLayoutDirection(Qt.LayoutDirection.RightToLeft)
    try:
        shown = windows.EXAMPLES[name](qapp, theme)
        windows.settle()
        assert measure.problems(shown) == []
    finally:
        qapp.setLayoutDirection(Qt.LayoutDirection.LeftToRight)


PLACEHOLDER = re.compile(r"(\{[^}]*\}|<[^>]*>|&\w+;|%n)")


class Longer(QTranslator):
    """A language with accents whose texts are 40 % longer."""

    def translate(self, context, source, disambiguation=None, n=-1):
        if not source:
            return ""
        words = PLACEHOLDER.split(source)
        words[::2] = [part.replace("a", "á").replace("o", "ö") for part in words[::2]]
        return "".join(words) + " ~" * max(1, round(0.2 * len(source)))

    def isEmpty(self):
        return False


@pytest.mark.parametrize("name", windows.EXAMPLES)
def test_a_page_has_room_for_longer_texts(qapp, theme, name):
    longer = Longer()
    QCoreApplication.installTranslator(longer)
    try:
        shown = windows.EXAMPLES[name](qapp, theme)
        windows.settle()
        assert measure.cut_off(shown) == []
    finally:
        QCoreApplication.removeTranslator(longer)


@pytest.mark.system
def test_every_page_is_legible_in_both_schemes_at_both_scales(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.ui.shots", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert OK_LINE.format(count=4 * len(windows.EXAMPLES)) in done.stdout
    assert len(list(Path(tmp_path).glob("*.png"))) == 4 * len(windows.EXAMPLES)


def bad_window(words, colour, width):
    window = QFrame()
    window.resize(300, 80)
    window.setStyleSheet("background: white")
    label = QLabel(words, window)
    label.setWordWrap(True)
    label.setStyleSheet(f"color: {colour}")
    label.setGeometry(10, 10, width, 20)
    window.show()
    return window


@pytest.mark.parametrize(
    ("words", "colour", "width", "found"),
    [
        ("Some words", "#000000", 200, []),
        ("Some words", "#bbbbbb", 200, ["contrast"]),
        ("Some words that are far too many for this place", "#000000", 60, ["cut off"]),
    ],
)
def test_the_measure_finds_what_it_should(qapp, theme, words, colour, width, found):
    window = bad_window(words, colour, width)
    assert [
        problem.split(":")[0].split(" 1")[0].split(" 2")[0] for problem in measure.problems(window)
    ] == found
    window.close()


def test_an_empty_page_is_found(qapp, theme):
    window = QWidget()
    window.resize(300, 300)
    window.show()
    assert measure.problems(window) == ["empty page"]


def brightness(window):
    return (measure.pixels(window.grab().toImage()) & 255).mean()


def test_the_theme_follows_the_desktop_while_it_runs(qapp, theme):
    shown = windows.EXAMPLES["overview-waiting"](qapp, theme)
    windows.settle()
    light = brightness(shown)
    theme.use(dark=True)
    windows.settle()
    dark = brightness(shown)
    theme.use(dark=False)
    assert light > 200
    assert dark < 60
