"""The tray and the window: two processes with Qt, without keys, network or rules.

PySide6 6.12 gives back one reference too many to None at every call without a result (measured: one
each for setText, update, processEvents) and to True at every emitted signal. Python 3.12 and newer
do not count references to these; Python 3.11 does, and aborts a resident process after some
thousand calls. So on 3.11 they are given references enough for good, before anything of Qt runs.
"""

import ctypes
import sys

if sys.version_info < (3, 12):
    for _lasting in (None, True, False):
        ctypes.c_ssize_t.from_address(id(_lasting)).value += 1 << 40
