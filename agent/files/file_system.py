"""What the file system of a folder can do, and what it is called.

SQLite hides the reason of a failure: a file system without locks looks to it like another process
with a lock, and one without shared maps like a broken disk. So ask with a file of our own.
"""

import errno
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from agent.errors import AegisError, OperatorActionError, UserActionError
from agent.files import atomic_file

NONE_HERE = frozenset(
    {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.ENODEV}
)
"""What a file system answers that does not know locks, or shared maps."""
PROBE_BYTES = 4096


def has_locks(folder: Path) -> bool:
    """Whether files here can be locked by ranges, as SQLite does. True if that cannot be found out.

    On Windows they always can.
    """
    if os.name == "nt":
        return True
    import fcntl

    return _works(folder, lambda descriptor: fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB))


def has_shared_maps(folder: Path) -> bool:
    """Whether processes can share the memory of a file here. True if that cannot be found out."""
    import mmap

    return _works(folder, lambda descriptor: mmap.mmap(descriptor, PROBE_BYTES).close())


def name(folder: Path) -> str:
    """The kind of file system that holds a folder, such as "nfs4"; "" where nobody says."""
    import psutil

    try:
        real = folder.resolve()
        mounts = [
            (Path(mount.mountpoint), mount.fstype) for mount in psutil.disk_partitions(all=True)
        ]
    except (OSError, RuntimeError, psutil.Error):
        return ""
    return innermost(real, mounts)


def innermost(folder: Path, mounts: Iterable[tuple[Path, str]]) -> str:
    """The kind of the mount that holds a folder. Of two at the same place the later lies on top."""
    holding = [(len(point.parts), kind) for point, kind in mounts if folder.is_relative_to(point)]
    deepest = max((depth for depth, _ in holding), default=0)
    return next((kind for depth, kind in reversed(holding) if depth == deepest), "")


def no_locks_for_agent(folder: Path, detail: str = "") -> AegisError:
    """The error for a home without file locks. Without them two agents could use it at once."""
    return UserActionError(
        "NO_FILE_LOCKS",
        f"The file system of AegisAI's own folder{_named(folder)} has no file locks.",
        "Choose a folder on a local disk with --home or AEGIS_HOME, or turn locks on for this one.",
        detail,
    )


def no_locks_for_server(folder: Path, detail: str = "") -> AegisError:
    """The same for the home of an aggregator."""
    return OperatorActionError(
        "NO_FILE_LOCKS",
        f"The file system of the server's folder{_named(folder)} has no file locks.",
        "Put the folder on a local disk, or turn locks on for this one.",
        detail,
    )


def _named(folder: Path) -> str:
    kind = name(folder)
    return f" ({kind})" if kind else ""


def _works(folder: Path, use: Callable[[int], object]) -> bool:
    with suppress(OSError), atomic_file.probe(folder, PROBE_BYTES) as descriptor:
        try:
            use(descriptor)
        except OSError as error:
            return error.errno not in NONE_HERE
    return True
