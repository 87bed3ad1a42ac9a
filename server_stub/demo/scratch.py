"""The scratch folder of a demonstration, removed at its end or, after a kill, by the next one."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

PREFIX = "aegis-demo-"


@contextlib.contextmanager
def scratch_folder(base: Path | None = None) -> Iterator[Path]:
    """A new folder (mode 0700) that is removed at the end of the block."""
    base = base or Path(tempfile.gettempdir())
    sweep(base)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=base))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(base: Path) -> None:
    """Remove what killed demonstrations of this user left behind."""
    # Where the number of a dead process is in use again, the folder stays until the next sweep.
    for folder in base.glob(f"{PREFIX}*"):
        pid = folder.name.removeprefix(PREFIX).partition("-")[0]
        with contextlib.suppress(OSError):
            if (
                pid.isdigit()
                and not _is_running(int(pid))
                # lstat: another user's link must not lead into a folder of ours.
                and (not hasattr(os, "getuid") or folder.lstat().st_uid == os.getuid())
            ):
                shutil.rmtree(folder, ignore_errors=True)


def _is_running(pid: int) -> bool:
    import psutil

    return bool(psutil.pid_exists(pid))
