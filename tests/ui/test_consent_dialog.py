"""The consent dialog's own behaviour; tests/law holds the rules that it must keep."""

import pytest
from PySide6.QtCore import QSize

from agent.consent.notice import Decision
from tests.fakes import agent_client as fakes
from tests.ui import windows
from ui.consent_dialog import ConsentDialog


@pytest.fixture
def dialog(qapp, theme):
    dialog = ConsentDialog(fakes.notice())
    dialog.show()
    return dialog


@pytest.fixture
def decisions(dialog):
    decisions = []
    dialog.decided.connect(decisions.append)
    return decisions


@pytest.mark.parametrize(
    ("act", "decision"),
    [
        (lambda dialog: dialog.grant_button.click(), Decision.GRANT),
        (lambda dialog: dialog.refuse_button.click(), Decision.REFUSE),
        (lambda dialog: dialog.close(), Decision.DISMISSED),
        (lambda dialog: dialog.reject(), Decision.DISMISSED),
    ],
    ids=["grant", "refuse", "close", "Esc"],
)
def test_it_decides_exactly_once(dialog, decisions, act, decision):
    act(dialog)
    dialog.close()
    dialog.grant_button.click()
    assert decisions == [decision]
    assert not dialog.isVisible()


def test_the_details_open_and_close_in_place(dialog):
    dialog.details_button.click()
    assert dialog.details.isVisible()
    dialog.details_button.click()
    assert not dialog.details.isVisible()


def test_the_example_is_requested_when_it_is_opened(dialog, decisions):
    requests = []
    dialog.exampleRequested.connect(lambda: requests.append(True))
    dialog.example_button.click()
    dialog.example_button.click()
    assert requests == [True]
    assert not dialog.example_panel.isVisible()
    assert decisions == []


def test_an_example_says_that_nothing_was_sent(dialog):
    dialog.show_example(fakes.preview_answer(windows.bytes_file()))
    assert dialog.example_note.text() == "Nothing of yours was read for this, and nothing was sent."


def test_the_first_layer_fits_without_scrolling(dialog):
    windows.settle()
    assert dialog.scroll_area.verticalScrollBar().maximum() == 0


def test_it_never_exceeds_the_screen(dialog):
    room = dialog.screen().availableGeometry().size()
    assert dialog.sizeHint().boundedTo(room) == dialog.sizeHint() != QSize()
