"""The question in a real window with a real keyboard: only a key on the focused button grants."""

import pytest

from tests.fakes.graphical_login import GraphicalLogin, needs_login
from tests.fakes.timeouts import TIMEOUT_S, until

pytestmark = [pytest.mark.system, needs_login]
QUESTION = "Help improve malware detection"


@pytest.fixture(scope="module")
def login(tmp_path_factory):
    with GraphicalLogin(tmp_path_factory.mktemp("keys")) as login:
        login.start("window")
        login.window("^AegisAI$")
        login.status()
        yield login


def ask(login):
    login.start("window", "consent").wait(TIMEOUT_S)
    dialog = login.window(QUESTION)
    login.focus(dialog)
    return dialog


def decision(login):
    return login.status()["consent"]["state"]


def gone(login):
    until(lambda: not login.windows(QUESTION), what="the end of the dialog")


@pytest.mark.parametrize(
    "keys",
    [("Return",), ("KP_Enter",), ("space",), ("y",), ("alt+y",), ("Return", "Return", "space")],
    ids="+".join,
)
def test_c2_no_key_by_itself_grants_in_a_real_window(login, keys):
    dialog = ask(login)
    login.keys(*keys)
    assert login.windows(QUESTION) == [dialog]
    assert decision(login) == "UNASKED"
    login.keys("Escape")
    gone(login)
    assert decision(login) == "UNASKED"


def test_c2_closing_the_window_decides_nothing(login):
    ask(login)
    login.keys("alt+F4")
    gone(login)
    assert decision(login) == "UNASKED"


def test_c2_a_second_launch_leaves_the_question_open(login):
    dialog = ask(login)
    login.start("window", "consent").wait(TIMEOUT_S)
    assert login.windows(QUESTION) == [dialog]
    login.keys("Escape")
    gone(login)
    assert decision(login) == "UNASKED"


def test_the_buttons_refuse_and_grant_by_keyboard(login):
    for keys, state in (
        (("Tab", "Tab", "space"), "REFUSED"),
        (("Tab", "space"), "GRANTED"),
    ):
        ask(login)
        login.keys(*keys)
        gone(login)
        status = login.until_status(lambda status, s=state: status["consent"]["state"] == s)
        assert status["consent"]["state"] == state
