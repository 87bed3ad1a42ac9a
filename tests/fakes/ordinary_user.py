"""Runs a program as an ordinary user: the rules of the kernel are different for root.

Started by root, it becomes a made user in a mount namespace of its own. There a folder that only
root may enter (the home in which a Python of root's lives) shows that Python and nothing else.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

UID = 54321
_ENTER = """
set -eu
closed=$1 python=$2 uid=$3; shift 3
if [ -n "$closed" ]; then
    aside=$(mktemp -d)
    mount --bind "$python" "$aside"
    mount -t tmpfs -o mode=755 tmpfs "$closed"
    mkdir -p "$python"
    mount --bind "$aside" "$python"
fi
exec setpriv --reuid="$uid" --regid="$uid" --clear-groups --inh-caps=-all "$@"
"""


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
            [*self._entrance(), *map(str, words)],
            env=environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
            **options,
        )

    def remove(self):
        shutil.rmtree(self.home)

    def _entrance(self):
        if not self.is_made:
            return ()
        python = Path(sys.base_prefix)
        closed = [str(folder) for folder in python.parents if not folder.stat().st_mode & 1]
        outermost = closed[-1] if closed else ""
        return ("unshare", "--mount", "sh", "-c", _ENTER, "sh", outermost, str(python), str(UID))
