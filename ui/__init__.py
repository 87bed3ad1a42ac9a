"""The tray and the window: two processes with Qt, without keys, network or rules.

PySide6 6.12 gives back one reference to None too many at every call without a result (measured: one each for setText, update,
processEvents). Python 3.12 and newer do not count references to None; Python 3.11 does, and aborts a resident process after some
thousand calls. So on 3.11 None is given references enough for good, before anything of Qt runs.
"""

import ctypes
import sys

if sys.version_info < (3, 12):
    ctypes.c_ssize_t.from_address(id(None)).value += 1 << 40
