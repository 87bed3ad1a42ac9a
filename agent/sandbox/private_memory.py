"""Keeps the memory of a process that holds keys from other programs of the same user.

After this neither a debugger nor `/proc` nor a copied descriptor reaches into the process, and a
crash leaves no core file (prctl(2), PR_SET_DUMPABLE). It ends with an exec, so each process asks
for itself. Only root gets past it. Call it before the first key is read.
"""

import ctypes
import sys
from contextlib import suppress

_PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 3, 4


def keep_private() -> bool:
    """Shut other programs out of this process. Whether it holds now; only Linux can."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "linux":
        return False
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    return is_private()


def is_private() -> bool:
    """Whether other programs are shut out of this process."""
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None).prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) == 0)
