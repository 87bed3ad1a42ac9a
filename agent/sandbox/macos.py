"""Confines a process to some files and from everything else by a profile of the macOS sandbox.

Written from the documentation of the profile language; it has not been verified on a Mac.
"""

import ctypes
import os
from collections.abc import Iterable

from agent.sandbox.access import Access

_HEAD = """(version 1)
(deny default)
(allow signal (target self))
(allow sysctl-read)
(allow file-read-metadata)
(allow file-read* (literal "/") (subpath "/System/Library") (subpath "/usr/lib")
  (subpath "/private/var/db/dyld") (literal "/dev/null") (literal "/dev/urandom"))
(allow file-write-data (literal "/dev/null"))
"""


def profile(access: Access, program: Iterable[str]) -> str:
    """Return the profile for a job. Pure."""
    read = "".join(f"(allow file-read* (subpath {_quoted(path)}))\n" for path in program)
    read += "".join(f"(allow file-read* (subpath {_quoted(path)}))\n" for path in access.read)
    write = "".join(
        f"(allow file-read* file-write* (subpath {_quoted(path)}))\n" for path in access.write
    )
    return _HEAD + read + write


def confine(access: Access, program: Iterable[str]) -> tuple[str, ...]:
    """Confine this process for good. Return the rules now in force; none on a failure."""
    try:
        enter = ctypes.CDLL("/usr/lib/libSystem.dylib").sandbox_init
    except (OSError, AttributeError):
        return ()
    error = ctypes.c_char_p()
    text = profile(access, program).encode("utf-8", "surrogateescape")
    if enter(ctypes.c_char_p(text), ctypes.c_uint64(0), ctypes.byref(error)) != 0:
        return ()
    return ("named files only", "no network", "no children")


def _quoted(path: str) -> str:
    # The kernel compares real paths: /tmp is /private/tmp.
    escaped = os.path.realpath(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
