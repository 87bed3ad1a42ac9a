"""Signals of the operating system end Qt's event loop, and afterwards end the process as usual."""

import os
import signal
import subprocess
import sys

import pytest

TIMEOUT_S = 60
SCRIPT = """
import os, signal, sys
from PySide6.QtCore import QCoreApplication, QTimer
from ui.process.quit_signals import QuitSignals
app = QCoreApplication([])
signals = QuitSignals(app)
signals.received.connect(app.quit)
QTimer.singleShot(0, lambda: print("ready", flush=True))
app.exec()
print("left the loop", flush=True)
signals.close()
print("closed", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def process():
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_the_event_loop(process, number):
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, number)
    assert process.stdout.readline() == "left the loop\n"


def test_after_close_a_signal_ends_the_process_at_once(process):
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGTERM)
    assert process.stdout.readline() == "left the loop\n"
    assert process.stdout.readline() == "closed\n"
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(TIMEOUT_S) == -signal.SIGINT
