"""The mark of a withdrawal: a file whose existence means no, whatever the record still says.

A command, the window or the icon leaves it before it asks the agent, and it stays where the agent
does not answer. The agent looks at it before every step that needs consent, writes the withdrawal
into the record, and only then removes it. So it survives restarts of all of them.

A home that cannot be written gets its mark elsewhere, in the folder of the login's sockets.
"""

import os
import re
from contextlib import suppress
from pathlib import Path

from agent.files import atomic_file

MAX_SURFACE_BYTES = 40
UNKNOWN_SURFACE = "mark"
_SURFACE = re.compile(rb"[a-z]{1,40}")


class Mark:
    """The mark of one home."""

    def __init__(self, path: Path, elsewhere: Path | None = None) -> None:
        self._path = path
        self._elsewhere = elsewhere

    def is_there(self) -> bool:
        """Return whether consent was withdrawn.

        What cannot be read in the home counts as a mark.
        """
        return self._is_in_home() or (self._elsewhere is not None and _is_ours(self._elsewhere))

    def _is_in_home(self) -> bool:
        try:
            self._path.lstat()
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return True

    def leave(self, surface: str = "") -> bool:
        """Leave the mark, durably; return whether it is there.

        `surface`: where the person withdrew, in letters. Where there is no room for it the file is
        empty, so a full disk rarely prevents the mark.
        """
        if surface and not self._is_in_home():
            with suppress(OSError):
                atomic_file.write(self._path, surface.encode())
        with suppress(OSError):
            atomic_file.touch(self._path)
        return self.is_there()

    def surface(self) -> str:
        """Where the person withdrew, as far as the mark says."""
        with suppress(OSError, ValueError):
            if found := _SURFACE.fullmatch(atomic_file.read(self._path, MAX_SURFACE_BYTES)):
                return found[0].decode()
        return UNKNOWN_SURFACE

    def leave_elsewhere(self) -> bool:
        """Leave the mark where it may not outlive this login; return whether it is there."""
        if self._elsewhere is not None:
            with suppress(OSError):
                self._elsewhere.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                atomic_file.touch(self._elsewhere)
        return self.is_there()

    def clear(self) -> None:
        """Remove the mark once the record says what it says. Raises OSError."""
        if self._is_in_home():
            atomic_file.remove(self._path)
        if self._elsewhere is not None and _is_ours(self._elsewhere):
            atomic_file.remove(self._elsewhere)


def _is_ours(path: Path) -> bool:
    """Whether this user left the file. One of another user has no power over a person's consent."""
    try:
        owner = path.lstat().st_uid
    except OSError:
        return False
    return not hasattr(os, "getuid") or owner == os.getuid()
