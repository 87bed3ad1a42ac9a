"""The lowest priority for processor and disk, set from outside on every platform.

The agent does it, because importing psutil would make every worker start about 20 ms later.
"""

import sys
from contextlib import suppress

import psutil

NICE = 19


def lower(process: psutil.Process) -> tuple[str, ...]:
    """Put a process, and whatever it starts from now on, last in line. The names of what holds."""
    names = []
    with suppress(psutil.Error, OSError):
        _lower_processor(process)
        names.append("lowest priority")
    with suppress(psutil.Error, OSError, NotImplementedError):
        _lower_disk(process)
        names.append("idle I/O")
    return tuple(names)


def _lower_processor(process: psutil.Process) -> None:
    if sys.platform == "win32":
        process.nice(psutil.IDLE_PRIORITY_CLASS)
    else:
        process.nice(NICE)


def _lower_disk(process: psutil.Process) -> None:
    if sys.platform == "linux":
        process.ionice(psutil.IOPRIO_CLASS_IDLE)
    elif sys.platform == "win32":
        process.ionice(psutil.IOPRIO_VERYLOW)
    else:
        raise NotImplementedError("psutil sets no I/O priority here")
