"""The About page needs no agent and says what others can and cannot see."""

from agent import __version__
from tests.fakes import agent_client as fakes
from tests.ui import windows


def test_it_says_the_same_with_and_without_an_agent(qapp, theme):
    window = windows.open_window(qapp, None, "about", theme)
    without = windows.texts(windows.page(window, "aboutPage"))
    window.client.push(fakes.status())
    assert windows.texts(windows.page(window, "aboutPage")) == without
    assert any(__version__ in text for text in without)
    assert window.client.calls == []


def test_it_tells_what_is_visible_and_what_is_not(qapp, theme):
    window = windows.open_window(qapp, None, "about", theme)
    shown = windows.texts(windows.page(window, "aboutPage"))
    for title in ("What IT and the operator can see", "What they cannot see", "What nobody can do"):
        assert title in shown
