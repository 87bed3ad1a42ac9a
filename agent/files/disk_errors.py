"""Explains why a file of AegisAI's own could not be read or written: by the system's error number,
with what the person can do.
"""

import errno
import os
from pathlib import Path

from agent.errors import AegisError, UserActionError
from agent.files import atomic_file

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_TOO_MANY = frozenset({errno.EMFILE, errno.ENFILE})
PROBE_BYTES = 8192


def is_full(error: OSError) -> bool:
    """Whether the disk or the person's share of it is full."""
    return error.errno in _FULL


def explained(error: OSError) -> AegisError:
    """Return the error to show for a failed read or write."""
    detail = f"{type(error).__name__}: {error}"[:300]
    if error.errno in _FULL:
        return UserActionError(
            "DISK_FULL",
            "The disk is full, so AegisAI could not write its files. Nothing was changed.",
            "Free some disk space and try again.",
            detail,
        )
    if error.errno in _READ_ONLY:
        return UserActionError(
            "HOME_READ_ONLY",
            "AegisAI cannot write to the folder for its own files. Nothing was changed.",
            "Make the folder writable, or choose another with --home or AEGIS_HOME.",
            detail,
        )
    if error.errno in _TOO_MANY:
        return UserActionError(
            "TOO_MANY_OPEN",
            "This process may not open any more files. Nothing was changed.",
            "Raise the limit (ulimit -n 256) and try again.",
            detail,
        )
    return UserActionError(
        "DISK_FAULT",
        f"AegisAI could not use its own files ({error.strerror or type(error).__name__}).",
        "Check the disk and the folder for AegisAI's own files.",
        detail,
    )


def write_error(folder: Path) -> OSError | None:
    """Return the error of a small write in `folder`, None when it works.

    For libraries that hide the system's error number.
    """
    try:
        with atomic_file.probe(folder, PROBE_BYTES) as descriptor:
            os.fsync(descriptor)
    except OSError as error:
        return error
    return None
