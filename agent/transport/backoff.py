"""Computes how long to wait after consecutive failures."""

FIRST_WAIT_S = 30.0
LONGEST_WAIT_S = 3600.0
OFFLINE_BUDGET = 24
"""After this many consecutive failures (about a day) the device tries every six hours only."""
SPARSE_WAIT_S = 6 * 3600.0


def backoff_s(failures: int, draw: float, retry_after_s: int = 0) -> float:
    """Return how many seconds to wait after `failures` in a row, at least 1.

    Exponential with jitter, and never less than the server asked for. `draw` is uniform in [0, 1).
    """
    if failures > OFFLINE_BUDGET:
        step = SPARSE_WAIT_S
    else:
        step = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(failures - 1, 20))
    return max(float(retry_after_s), 0.0) + step * (0.5 + draw)
