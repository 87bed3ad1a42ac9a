"""Gives memory back to the operating system after a flood of connections.

A connection's buffers (300 KiB with TLS) are parts of cycles. Nobody gets them back until the
collector looks at its oldest generation, which it seldom does: after 3,800 connections a server
kept 1.1 GiB for good. So the collector runs once most connections have gone, and the C library
returns what is free then. TLS may keep the buffers of a connection that has gone for another half
minute, so both happen once more afterwards.
"""

import ctypes
import gc
from collections.abc import Callable

MANY = 64
"""Fewer connections than this are not worth a collection."""
TLS_END_S = 35.0
"""asyncio waits 30 s for the other end to close TLS."""


class HeapTrimmer:
    """Watches how many connections are open."""

    def __init__(self) -> None:
        self._peak = 0
        self._again_at: float | None = None
        self._trim = _malloc_trim()

    def note(self, connections: int, now_s: float) -> bool:
        """Give memory back if most connections have gone; returns whether it did. Call it often.

        `now_s`: of a clock that only moves forward.
        """
        self._peak = max(self._peak, connections)
        if self._peak - connections >= MANY and connections <= self._peak // 2:
            self._peak, self._again_at = connections, now_s + TLS_END_S
        elif self._again_at is not None and now_s >= self._again_at:
            self._again_at = None
        else:
            return False
        gc.collect()
        self._trim(0)
        return True


def _malloc_trim() -> Callable[[int], object]:
    """What returns free memory of the heap; with a C library other than glibc it does nothing."""
    try:
        trim: Callable[[int], object] = ctypes.CDLL(None).malloc_trim
    except (OSError, TypeError, AttributeError):
        return bool
    return trim
