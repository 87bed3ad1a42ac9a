"""Decides when a device advertises: a pure function of the announced window and one random draw.

The window and the offer that announces it both carry the server's time, so a wrong clock on this
device does not matter.
"""

from dataclasses import dataclass

from agent.errors import PeerError

MAX_WINDOW_S = 15 * 60
MAX_LEAD_S = 3 * 60
"""A cycle waits for a join window that is nearer than this. For a later one it ends, and another
cycle joins."""


@dataclass(frozen=True)
class JoinWindow:
    """A join window as this device uses it; times in seconds from now."""

    wait_s: float
    """Until this device advertises: at random in the first half of the window, which spreads the
    devices."""
    closes_s: float
    """Until the window closes."""

    @property
    def is_near(self) -> bool:
        """Whether the cycle that learned of the window waits for it."""
        return self.wait_s <= MAX_LEAD_S


def join_window(opens: int, closes: int, now: int, draw: float) -> JoinWindow | None:
    """Place this device in a window; None when the window is over or none is announced.

    `opens`, `closes` and `now` are seconds since the epoch by the server's clock; `draw` is uniform
    in [0, 1). Raises PeerError OFFER_INCONSISTENT for a window that closes before it opens or lasts
    too long.
    """
    if opens == closes == 0:
        return None
    if not 0 < closes - opens <= MAX_WINDOW_S:
        raise PeerError(
            "OFFER_INCONSISTENT",
            f"The server's join window lasts {closes - opens} s; expected 1 to {MAX_WINDOW_S} s.",
            "Nothing was sent. Tell the operator.",
        )
    if closes <= now:
        return None
    start = max(0, opens - now)
    half = max(0.0, (opens + closes) / 2 - max(now, opens))
    return JoinWindow(start + draw * half, closes - now)
