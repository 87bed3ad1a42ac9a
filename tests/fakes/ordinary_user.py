"""Runs a program as an ordinary user: the rules of the kernel are different for root.

Started by root, it becomes a made user (tests.fakes.other_user).
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.fakes.other_user import as_user

UID = 54321


class OrdinaryUser:
    """A user with a home of their own. With another user than root: that user."""

    def __init__(self):
        self.home = Path(tempfile.mkdtemp(prefix="user"))
        self.is_made = os.geteuid() == 0
        self.own(self.home)

    def own(self, *paths):
        """Give files to the user."""
        for path in paths if self.is_made else ():
            os.chown(path, UID, UID)

    def write(self, name, text="x"):
        """Make a file in the home, with the folders above it."""
        path = self.home / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(text)
        folders = [folder for folder in path.parents if self.home in folder.parents]
        self.own(path, *folders)
        return path

    def run(self, *words, environ=None, **options):
        """Run a program to its end; returns a CompletedProcess with its output as text."""
        environment = {"HOME": str(self.home), "PATH": os.environ["PATH"], **(environ or {})}
        return subprocess.run(
            [*(as_user(UID) if self.is_made else ()), *map(str, words)],
            env=environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
            **options,
        )

    def remove(self):
        shutil.rmtree(self.home)
