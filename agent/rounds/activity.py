"""Tracks what a cycle is doing right now, for the status."""

from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Activity:
    """One step of a cycle that takes time."""

    kind: str = ""
    """"training", "sending" or, when the cycle is idle, ""."""
    text: str = ""
    """One sentence for people."""
    progress: float | None = None
    """Share done, 0 to 1, where known."""


class ActivityTracker:
    """Holds the current activity and announces every change of it."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self.current = Activity()
        self.is_suspended = False
        """Training is under way but suspended."""

    @property
    def is_training(self) -> bool:
        return self.current.kind == "training"

    @property
    def is_sending(self) -> bool:
        return self.current.kind == "sending"

    def train(self, text: str) -> None:
        """Training begins."""
        self._begin(Activity("training", text))

    def send(self, text: str) -> None:
        """A step between the finished update and its receipt begins."""
        self._begin(Activity("sending", text))

    def finish(self) -> None:
        """The current activity ends."""
        self._begin(Activity())

    def report_progress(self, done: int, total: int) -> None:
        """Take the worker's progress. Ignored when no activity is under way: it arrived late."""
        if not self.current.kind or total <= 0:
            return
        progress = min(1.0, done / total)
        if progress != self.current.progress:
            self.current = replace(self.current, progress=progress)
            self._changed()

    def _begin(self, activity: Activity) -> None:
        self.current = activity
        self.is_suspended = False
        self._changed()
