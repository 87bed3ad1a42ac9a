"""Files that survive a power cut: written whole or not at all, readable by their owner only."""

import os
from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """Replace `path` by a file of mode 0600 with `content`.

    When this returns, the file is on the disk under its name. Raises OSError.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def read(path: Path, max_bytes: int) -> bytes:
    """Read a file. Raises OSError, and ValueError when it has more than `max_bytes`."""
    with path.open("rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ValueError(f"expected at most {max_bytes} bytes")
    return content


def remove(path: Path) -> None:
    """Remove a file durably, if it is there. Raises OSError."""
    path.unlink(missing_ok=True)
    _sync_folder(path.parent)


def clear_drafts(folder: Path) -> None:
    """Remove the drafts that killed writes left in a folder. Raises OSError."""
    for draft in folder.glob(".*.*." + 8 * "[0-9a-f]"):
        draft.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows has no handle on a folder to flush; NTFS journals the rename
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
