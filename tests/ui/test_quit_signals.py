"""A process that is told to end says so as a Qt signal, and ends at once after `close`."""

import os
import signal

import pytest
from ui.quit_signals import QuitSignals

ASKED = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture
def quit_signals(qapp):
    """The handlers of the test run come back afterwards."""
    before = {each: signal.getsignal(each) for each in ASKED}
    found = QuitSignals()
    yield found
    found.close()
    for each, handler in before.items():
        signal.signal(each, handler)


@pytest.mark.parametrize("number", ASKED)
def test_the_end_of_a_login_and_ctrl_c_are_announced(qtbot, quit_signals, number):
    with qtbot.waitSignal(quit_signals.asked):
        os.kill(os.getpid(), number)


def test_it_is_announced_again_when_it_is_asked_again(qtbot, quit_signals):
    for _ in range(2):
        with qtbot.waitSignal(quit_signals.asked):
            os.kill(os.getpid(), signal.SIGTERM)


def test_after_close_the_process_ends_by_itself(qtbot, quit_signals):
    quit_signals.close()
    assert [signal.getsignal(each) for each in ASKED] == [signal.SIG_DFL] * 2
    assert signal.set_wakeup_fd(-1) == -1
