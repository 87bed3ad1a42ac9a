"""The mark of a withdrawal: a file whose existence means no, whatever the record still says.

A command leaves it when the agent cannot be reached, and for the time until it answers. The agent
looks at it before every step that needs consent, writes the withdrawal into the record, and only
then removes it. So it survives restarts of both.
"""

from contextlib import suppress
from pathlib import Path

from agent import atomic_file


class Mark:
    """The mark of one home."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def is_there(self) -> bool:
        """Return whether consent was withdrawn. What cannot be read counts as a mark."""
        try:
            self._path.lstat()
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return True

    def leave(self) -> bool:
        """Leave the mark, durably; return whether it is there.

        The file is empty, so a full disk rarely prevents it.
        """
        with suppress(OSError):
            atomic_file.touch(self._path)
        return self.is_there()

    def clear(self) -> None:
        """Remove the mark once the record says what it says. Raises OSError."""
        if self.is_there():
            atomic_file.remove(self._path)
