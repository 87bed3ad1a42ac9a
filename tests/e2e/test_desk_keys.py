"""The question in a real window, with a real keyboard: no key but the deliberate one on the button
says yes.
"""

import pytest

from tests.fakes import graphical_login
from tests.fakes.graphical_login import Desktop
from tests.fakes.timeouts import TIMEOUT_S, until

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        bool(graphical_login.missing()), reason=f"not installed: {graphical_login.missing()}"
    ),
]
QUESTION = "Help improve malware detection"


@pytest.fixture(scope="module")
def desktop(tmp_path_factory):
    with Desktop(tmp_path_factory.mktemp("keys")) as desktop:
        desktop.start("window")
        desktop.window("^AegisAI$")
        desktop.status()
        yield desktop


def ask(desktop):
    desktop.start("window", "consent").wait(TIMEOUT_S)
    dialog = desktop.window(QUESTION)
    desktop.focus(dialog)
    return dialog


def decision(desktop):
    return desktop.status()["consent"]["state"]


def gone(desktop):
    until(lambda: not desktop.windows(QUESTION), what="the end of the dialog")


@pytest.mark.parametrize(
    "keys",
    [("Return",), ("KP_Enter",), ("space",), ("y",), ("alt+y",), ("Return", "Return", "space")],
    ids="+".join,
)
def test_c2_no_key_by_itself_says_yes_in_a_real_window(desktop, keys):
    dialog = ask(desktop)
    desktop.keys(*keys)
    assert desktop.windows(QUESTION) == [dialog]
    assert decision(desktop) == "UNASKED"
    desktop.keys("Escape")
    gone(desktop)
    assert decision(desktop) == "UNASKED"


def test_c2_closing_the_window_says_nothing(desktop):
    ask(desktop)
    desktop.keys("alt+F4")
    gone(desktop)
    assert decision(desktop) == "UNASKED"


def test_c2_a_second_launch_leaves_the_question_open(desktop):
    dialog = ask(desktop)
    desktop.start("window", "consent").wait(TIMEOUT_S)
    assert desktop.windows(QUESTION) == [dialog]
    desktop.keys("Escape")
    gone(desktop)
    assert decision(desktop) == "UNASKED"


def test_no_and_yes_are_said_by_keyboard_on_purpose(desktop):
    ask(desktop)
    desktop.keys("Tab", "Tab", "space")
    gone(desktop)
    desktop.until_status(lambda status: status["consent"]["state"] == "REFUSED")
    ask(desktop)
    desktop.keys("Tab", "space")
    gone(desktop)
    desktop.until_status(lambda status: status["consent"]["state"] == "GRANTED")
