"""When a device comes to the place where its group meets: a pure function of the announced window
and one random draw.

Times of the window are by the server's clock, as is the time of the offer that announces it, so a
wrong clock here does not matter.
"""

from dataclasses import dataclass

from agent.errors import PeerError

MAX_WINDOW_S = 15 * 60
MAX_LEAD_S = 3 * 60
"""A meeting that is nearer than this is waited for in the same pass; for a later one the device
comes back."""


@dataclass(frozen=True)
class JoinWindow:
    """Seconds from now."""

    wait_s: float
    """Until this device advertises: within the first half of the window, so that not all come at
    once."""
    closes_s: float
    """Until the window closes at the latest."""

    @property
    def is_near(self) -> bool:
        return self.wait_s <= MAX_LEAD_S


def join_window(opens: int, closes: int, now: int, draw: float) -> JoinWindow | None:
    """The meeting of a window from `opens` to `closes` at the server's time `now`; None: over, or
    none is announced.

    `draw` is uniform in [0, 1). Raises PeerError OFFER_INCONSISTENT for a window that ends before
    it opens or lasts too long.
    """
    if opens == closes == 0:
        return None
    if not 0 < closes - opens <= MAX_WINDOW_S:
        raise PeerError(
            "OFFER_INCONSISTENT",
            "The server announces a meeting of an impossible length.",
            "Nothing was sent. Tell the operator.",
        )
    if closes <= now:
        return None
    start = max(0, opens - now)
    half = max(0.0, (opens + closes) / 2 - max(now, opens))
    return JoinWindow(start + draw * half, closes - now)
