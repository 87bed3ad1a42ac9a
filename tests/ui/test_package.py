"""PySide6 on Python 3.11 releases None and True too often; `ui` keeps a resident process alive."""

import subprocess
import sys

import pytest

CALLS = {
    "without a result": "thing.setObjectName('x')",
    "a signal": "thing.said.emit()",
}
SCRIPT = """
import ui
from PySide6.QtCore import QObject, Signal
class Thing(QObject):
    said = Signal()
thing = Thing()
for _ in range(200_000):
    {call}
"""


@pytest.mark.parametrize("call", CALLS)
def test_a_resident_process_survives_many_calls(call):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(call=CALLS[call])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
