"""Files that survive a power cut: written whole or not at all, readable by their owner only.

Every file of the home is opened here. None of them is ever a link, a pipe or a device: whoever puts
one there wants this program to read, empty or overwrite something else.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NO_SURPRISE = (
    getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)  # opening a pipe must not wait for its other end
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)


def open_plain(path: "str | Path", flags: int, *, folder: int | None = None) -> int:
    """Open a regular file, following no link, and return its descriptor.

    A file that is made has mode 0600. `folder`: the descriptor that `path` is relative to. Raises
    OSError, also for anything that is no regular file.
    """
    descriptor = os.open(path, flags | _NO_SURPRISE, 0o600, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file")
    return descriptor


def is_plain(path: Path) -> bool:
    """Return whether a library may open this name: it is free, or a regular file, no link."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return True
    except OSError:
        return False


def write(path: Path, content: bytes) -> None:
    """Replace `path` by a file of mode 0600 with `content`.

    When this returns, the file is on the disk under its name. Raises OSError.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        with os.fdopen(open_plain(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def overwrite(path: Path, content: bytes) -> None:
    """Overwrite the beginning of an existing file in place, durably.

    Needs no free space where the file system writes in place, as all do that do not copy on write.
    A crash may leave a mixture of old and new, so the content needs a checksum. Raises OSError.
    """
    descriptor = open_plain(path, os.O_WRONLY)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path, max_bytes: int) -> bytes:
    """Read a file. Raises OSError, and ValueError when it has more than `max_bytes`."""
    with os.fdopen(open_plain(path, os.O_RDONLY), "rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ValueError(f"expected at most {max_bytes} bytes")
    return content


def touch(path: Path) -> None:
    """Make an empty file, durably; one that is there stays as it is. Raises OSError."""
    os.close(open_plain(path, os.O_WRONLY | os.O_CREAT))
    _sync_folder(path.parent)


def remove(path: Path) -> None:
    """Remove a file durably, if it is there. Raises OSError."""
    path.unlink(missing_ok=True)
    _sync_folder(path.parent)


def clear_drafts(folder: Path) -> None:
    """Remove the drafts that killed writes left in a folder. Raises OSError."""
    for draft in folder.glob(".*.*." + 8 * "[0-9a-f]"):
        draft.unlink(missing_ok=True)


@contextmanager
def probe(folder: Path, size: int) -> Iterator[int]:
    """Make a file of `size` zeros, yield its descriptor, and remove it. Raises OSError.

    Trying tells more than asking: some libraries hide what the system answers.
    """
    path = folder / f".probe.{os.getpid()}.{os.urandom(4).hex()}"
    descriptor = open_plain(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        os.write(descriptor, bytes(size))
        yield descriptor
    finally:
        os.close(descriptor)
        path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows has no handle on a folder to flush; NTFS journals the rename
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
