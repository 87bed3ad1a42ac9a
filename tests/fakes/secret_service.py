"""Runs a command on a private D-Bus session with a real, unlocked gnome-keyring.

`run([...], folder)` in tests, `python -m tests.fakes.secret_service CMD…` by hand. It has its own
home, runtime folder and bus and no display, so it never touches the login that runs the tests.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.fakes.timeouts import TIMEOUT_S

NEEDED = ("dbus-run-session", "gnome-keyring-daemon")
PASSWORD = "test-pw"
_START = (
    f'eval "$(printf %s {PASSWORD} | gnome-keyring-daemon --unlock --components=secrets)" && exec'
    ' "$@"'
)


def missing() -> str:
    """Names of the programs that are not installed, or ""."""
    return " ".join(name for name in NEEDED if not shutil.which(name))


def environment(folder: Path) -> dict[str, str]:
    """The environment of a login whose files are all below `folder`."""
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH") if name in os.environ}
    return {
        **kept,
        "HOME": str(folder),
        "XDG_RUNTIME_DIR": str(runtime),
        "XDG_DATA_HOME": str(folder / "share"),
    }


def run(
    command: Sequence[str],
    folder: Path,
    *,
    timeout_s: float = TIMEOUT_S,
    extra: dict[str, str] | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Run `command` with the keyring; bus and keyring end with it.

    The keyring's file stays in `folder`.
    """
    whole = ["dbus-run-session", "--", "sh", "-c", _START, "sh", *command]
    return subprocess.run(
        whole,
        env=environment(folder) | (extra or {}),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        stdin=subprocess.DEVNULL,
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        os.chdir(Path(__file__).parents[2])
        sys.exit(
            subprocess.call(
                ["dbus-run-session", "--", "sh", "-c", _START, "sh", *sys.argv[1:]],
                env=environment(Path(home)),
            )
        )
