"""Withdraws whether or not an agent answers. The command, the window and the tray share it.

1. `begin` leaves the mark: the agent looks at it before each step that needs consent.
2. Then the caller asks the agent.
3. Without an answer the mark holds. Without a mark `turn_off` overwrites the switch.
"""

import os
from collections.abc import Mapping

from agent.consent.switch import consent_files
from agent.errors import UserActionError
from agent.paths import Home


class Withdrawal:
    """What a withdrawal does to the files of one home."""

    def __init__(self, home: Home, environ: Mapping[str, str] = os.environ) -> None:
        self._home = home
        self._switch, self._mark = consent_files(home, environ)

    def may_hold(self) -> bool:
        """Whether a yes may hold, as far as the files say: the record may still say no."""
        position = self._switch.position()
        return position is not None and position.is_on and not self._mark.is_there()

    def begin(self, surface: str) -> bool:
        """Leave the mark; return whether it is there. A home that is missing gets none.

        `surface`: where the person withdraws, as the consent record names it.
        """
        return self._home.root.exists() and self._home.is_ours and self._mark.leave(surface)

    def is_read(self) -> bool:
        """Whether the mark is gone: an agent has written the withdrawal into the record."""
        return not self._mark.is_there()

    def turn_off(self, now: int, surface: str) -> None:
        """Withdraw by the switch alone, where no agent runs.

        Raises UserActionError NOT_SAVED; then at least this login remembers it where it can.
        """
        try:
            self._switch.turn_off(now, surface)
        except OSError as error:
            if not self._mark.leave():
                self._mark.leave_elsewhere()
            raise not_saved() from error


def not_saved() -> UserActionError:
    """Return the error for a withdrawal that acts now and that a restart may not remember."""
    return UserActionError(
        "NOT_SAVED",
        "Everything has stopped, but your withdrawal is not saved: the disk cannot be written.",
        "Repeat aegis consent withdraw when the disk is writable.",
    )
