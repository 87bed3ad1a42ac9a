"""Runs programs as other users of this computer. Needs root.

The interpreter, its packages and this clone may be in a folder that only root can enter. So each
program runs in a mount namespace of its own, in which such a folder shows these and nothing else.
"""

import os
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest

CLONE = Path(__file__).resolve().parents[2]
PERSON, NEIGHBOUR = 61_001, 61_002
"""Two user ids that nobody has."""


def as_user(uid):
    """Return the words that run the command behind them as a user."""
    user = f"setpriv --reuid={uid} --regid={uid} --clear-groups --inh-caps=-all"
    script = "\n".join(["set -eu", "umask 022", *_openings(), f'exec {user} "$@"'])
    return ("unshare", "--mount", "sh", "-c", script, "sh")


def start(uid, *words, environ=None, **options):
    """Start `python WORDS` as a user, and return the process."""
    given = {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(CLONE),
        **(environ or {}),
    }
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "text": True, **options}
    command = [*as_user(uid), sys.executable, *words]
    return subprocess.Popen(command, env=given, cwd="/", **streams)


def run(uid, *words, timeout, environ=None):
    """Run `python WORDS` as a user to its end; return its code and what it printed."""
    process = start(uid, *words, environ=environ, stderr=subprocess.PIPE)
    try:
        out, err = process.communicate(timeout=timeout)
    finally:
        process.kill()
    return process.returncode, out, err


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


def _openings():
    """Yield shell lines: each folder that only root can enter shows what Python needs of it."""
    hidden = {}
    for path in dict.fromkeys((Path(sys.base_prefix), Path(sys.prefix).resolve(), CLONE)):
        closed = [one for one in path.parents if not one.stat().st_mode & stat.S_IXOTH]
        if closed:
            hidden.setdefault(str(closed[-1]), []).append(str(path))
    for folder, paths in hidden.items():
        for number, path in enumerate(paths):
            yield f'aside{number}=$(mktemp -d); mount --bind {shlex.quote(path)} "$aside{number}"'
        yield f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(folder)}"
        for number, path in enumerate(paths):
            place = shlex.quote(path)
            yield f'mkdir -p {place}; mount --bind "$aside{number}" {place}'
            yield f'umount "$aside{number}"; rmdir "$aside{number}"'
