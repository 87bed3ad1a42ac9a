"""Stores the pause that a person has chosen."""

from agent.clock import Clock
from agent.store.values import Values

_KEY = "pause"
UNTIL_RESUMED = 0


class Pause:
    """Reads and writes the pause; it survives a restart."""

    def __init__(self, values: Values, clock: Clock) -> None:
        self._values = values
        self._clock = clock

    def until(self) -> int | None:
        """Return the end of the pause in seconds since the epoch, UNTIL_RESUMED, or None when not
        paused.
        """
        stored = self._values.get(_KEY, {"until": int})
        if stored is None:
            return None
        until = int(stored["until"])
        return None if until and until <= self._clock.now() else until

    def begin(self, until: int | None) -> None:
        """Pause until `until`, or until resumed when it is None."""
        self._values.put(_KEY, {"until": until or UNTIL_RESUMED})

    def end(self) -> None:
        self._values.put(_KEY, None)
