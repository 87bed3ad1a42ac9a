"""Copies of what was sent, which a person can open with a program of their own."""

from dataclasses import dataclass
from pathlib import Path

from agent.files import atomic_file
from agent.paths import Home

PREFIX = "copy-"


@dataclass(frozen=True)
class ViewingCopies:
    """Writes copies to the home, which only this user can read. Each start removes them."""

    home: Home

    def write(self, name: str, content: bytes) -> Path:
        """Write a copy and return its path. Raises OSError."""
        self.home.run.mkdir(mode=0o700, exist_ok=True)
        path = self.home.run / f"{PREFIX}{name}"
        atomic_file.write(path, content)
        return path

    def remove(self) -> None:
        """Remove all copies of this home. Raises OSError."""
        for path in self.home.run.glob(f"{PREFIX}*"):
            path.unlink(missing_ok=True)
