"""Copies of what was sent, which a person can open with a program of their own."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent import atomic_file
from agent.paths import Home, runtime_folder

OF_RUNNING_WINDOWS = frozenset({".sock", ".lock"})
"""Suffixes of files in the same folder that belong to the tray and the window."""


@dataclass(frozen=True)
class ViewingCopies:
    """Writes copies to the runtime folder, which only this user can read and the system empties."""

    home: Home
    environ: Mapping[str, str]

    def write(self, name: str, content: bytes) -> Path:
        """Write a copy and return its path. Raises OSError."""
        folder = runtime_folder(self.environ)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{self.home.name}-{name}"
        atomic_file.write(path, content)
        return path

    def remove(self) -> None:
        """Remove all copies of this home. Raises OSError."""
        for path in runtime_folder(self.environ).glob(f"{self.home.name}-*"):
            if path.suffix not in OF_RUNNING_WINDOWS:
                path.unlink(missing_ok=True)
