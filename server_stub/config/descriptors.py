"""How many files and sockets this process may have open.

A connection that arrives when none is left would make the next file of the server fail to open.
So the ports together take what is left after a reserve, and never the reserve.
"""

import contextlib

GOAL = 16 * 1024
"""The soft limit is raised to this, as far as the hard limit permits."""
RESERVE = 256
"""For the database, the published files, the enrolment authority and the standard library."""
UNLIMITED = 2**31
WINDOWS = 512
"""What select can watch there (FD_SETSIZE)."""


def raise_limit(goal: int = GOAL) -> int:
    """Raise the soft limit towards `goal`; return how many descriptors the process may have."""
    try:
        import resource
    except ImportError:  # Windows
        return WINDOWS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return UNLIMITED
    reachable = goal if hard == resource.RLIM_INFINITY else min(goal, hard)
    if reachable > soft:
        # macOS refuses a value above OPEN_MAX although the hard limit is higher.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (reachable, hard))
            soft = reachable
    return soft


def for_connections(descriptors: int) -> int:
    """How many of the process's descriptors connections may take: never all of them."""
    return max(descriptors - RESERVE, descriptors // 4, 1)
