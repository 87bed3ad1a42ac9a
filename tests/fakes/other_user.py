"""Runs programs as other users of this computer. Needs root.

The interpreter, its libraries and this clone may be in a folder that only root can enter. So each
program sees copies of them at READABLE, bound there in a mount namespace of its own.
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest

CLONE = Path(__file__).resolve().parents[2]
PERSON, NEIGHBOUR = 61_001, 61_002
"""Two user ids that nobody has."""


class OtherUsers:
    """Starts Python as a user. Close it when done."""

    def __init__(self):
        self._readable = Path(tempfile.mkdtemp(prefix="aegisai-users-"))
        self._readable.chmod(0o755)
        for name in ("python", "libraries", "clone"):
            (self._readable / name).mkdir()
        self._sources = {
            "python": Path(sys.base_prefix),
            "libraries": Path(sysconfig.get_path("purelib")),
            "clone": CLONE,
        }

    def start(self, uid, *words, environ=None, **options):
        """Start `python WORDS` as a user, and return the process."""
        base = Path(os.path.realpath(sys.executable)).relative_to(sys.base_prefix)
        path = f"{self._readable / 'clone'}:{self._readable / 'libraries'}"
        given = {
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": path,
            **(environ or {}),
        }
        mounts = [
            f"mount --bind {shlex.quote(str(source))} {shlex.quote(str(self._readable / name))}"
            for name, source in self._sources.items()
        ]
        user = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
        command = shlex.join([*user, str(self._readable / "python" / base), *words])
        script = " && ".join(["umask 022", *mounts, f"exec {command}"])
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "text": True, **options}
        return subprocess.Popen(["unshare", "--mount", "sh", "-c", script], env=given, **streams)

    def run(self, uid, *words, timeout, environ=None):
        """Run `python WORDS` as a user to its end; return its code and what it printed."""
        process = self.start(uid, *words, environ=environ, stderr=subprocess.PIPE)
        try:
            out, err = process.communicate(timeout=timeout)
        finally:
            process.kill()
        return process.returncode, out, err

    def close(self):
        shutil.rmtree(self._readable)


def obstacle():
    """Why no other user can be played here, or ""."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "needs root"
    tried = subprocess.run(
        ["unshare", "--mount", "sh", "-c", "mount --bind /tmp /tmp && setpriv --version"],
        capture_output=True,
        check=False,
    )
    return "" if tried.returncode == 0 else "this container may not mount"


needs_users = pytest.mark.skipif(bool(obstacle()), reason=f"other users: {obstacle()}")
"""The mark of tests that play other users."""
