"""The tray and the window: two processes with Qt, without keys, network or rules.

PySide6 6.12 releases one reference too many to None at every call without a result (measured: one
each for setText, update, processEvents) and to True at every emitted signal. Python 3.12 and newer
do not count references to these objects. Python 3.11 does, and aborts a resident process after some
thousand calls. So on 3.11 this module adds more references than a process can use up, before any of
Qt is imported.
"""

import ctypes
import sys

if sys.version_info < (3, 12):
    for _constant in (None, True, False):
        ctypes.c_ssize_t.from_address(id(_constant)).value += 1 << 40
