"""The trap of PySide6 on Python 3.11: None must outlive more calls than a process that runs for weeks makes."""

import subprocess
import sys

SCRIPT = """
import ui
from PySide6.QtCore import QObject
thing = QObject()
for _ in range(200_000):
    thing.setObjectName("x")
"""


def test_a_resident_process_survives_very_many_calls():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
