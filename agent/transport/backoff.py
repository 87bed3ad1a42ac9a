"""How long to wait after failures in a row: plain arithmetic."""

FIRST_WAIT_S = 30.0
LONGEST_WAIT_S = 3600.0
OFFLINE_BUDGET = 24
"""After this many failures in a row (about a day) the device tries only every six hours."""
SPARSE_WAIT_S = 6 * 3600.0


def backoff_s(failures: int, draw: float, retry_after_s: int = 0) -> float:
    """Seconds to wait after `failures` in a row: exponential with jitter, never less than the
    server asked for.

    `draw` is uniform in [0, 1).
    """
    if failures > OFFLINE_BUDGET:
        step = SPARSE_WAIT_S
    else:
        step = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(failures - 1, 20))
    return max(float(retry_after_s), 0.0) + step * (0.5 + draw)
