"""A folder that only this user can change, kept open while it is in use.

1. It is a real folder, not a link; this user owns it, and nobody else may write into it.
2. Whatever is in it is reached through its descriptor. Nobody can swap the folder between the check
   and the use, and a socket in it has a short address wherever the folder is (a socket's path has
   at most 107 bytes, unix(7); 103 on macOS, which has no such addresses: unverified).
3. Files in it are opened as in `agent.files.atomic_file`: never a link, a pipe or a device.
"""

import errno
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from agent.errors import UserActionError
from agent.files import atomic_file

MAX_ADDRESS_BYTES = 103
DESCRIPTORS = Path("/proc/self/fd")


class PrivateFolder:
    """Use it as a context manager, or close it."""

    def __init__(self, path: Path) -> None:
        """Open and check. Raises FileNotFoundError, UserActionError CHANNEL_UNSAFE."""
        self.path = path
        try:
            self._descriptor = os.open(
                path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            )
        except OSError as error:
            if not os.path.lexists(path):
                raise FileNotFoundError(errno.ENOENT, "no such folder", str(path)) from error
            raise _unsafe(path, error.strerror or "") from error
        facts = os.fstat(self._descriptor)
        if facts.st_uid != os.geteuid() or facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            self.close()
            raise _unsafe(path, f"uid {facts.st_uid}, mode {stat.S_IMODE(facts.st_mode):o}")

    @classmethod
    def make(cls, path: Path) -> Self:
        """Make the folder where it is missing, and let nobody else look into it.

        Raises OSError, UserActionError CHANNEL_UNSAFE.
        """
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = cls(path)
        with suppress(OSError):  # a file system without modes; who may write was checked
            os.fchmod(folder._descriptor, 0o700)
        return folder

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def address(self, name: str) -> str:
        """Return the address of a socket in it, valid while the folder is open.

        Raises OSError ENAMETOOLONG where the system has no short one.
        """
        short = DESCRIPTORS / str(self._descriptor)
        if short.exists():
            return f"{short}/{name}"
        address = os.fspath(self.path / name)
        if len(os.fsencode(address)) > MAX_ADDRESS_BYTES:
            raise OSError(errno.ENAMETOOLONG, "the path is too long for a socket")
        return address

    def listen(self, name: str) -> socket.socket:
        """Return a listening socket of mode 0600 in place of whatever had the name.

        Nobody ever sees it under its name before it listens. Raises OSError.
        """
        import secrets  # who only reads does not wait for it

        draft = f".{name}.{secrets.token_hex(4)}"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.setblocking(False)
            os.fchmod(listener.fileno(), 0o600)  # bind(2) gives the file this mode
            listener.bind(self.address(draft))
            try:
                listener.listen()
                os.rename(draft, name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
            except BaseException:
                self.remove(draft)
                raise
        except BaseException:
            listener.close()
            raise
        return listener

    def inode(self, name: str) -> tuple[int, int] | None:
        """Return what tells this file from any other that has its name; None: there is none."""
        try:
            facts = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except OSError:
            return None
        return facts.st_dev, facts.st_ino

    def is_in_place(self) -> bool:
        """Return whether the folder is still the one that its path names."""
        try:
            here, named = os.fstat(self._descriptor), self.path.lstat()
        except OSError:
            return False
        return (here.st_dev, here.st_ino) == (named.st_dev, named.st_ino)

    def write(self, name: str, content: bytes) -> None:
        """Write a new file of mode 0600. Raises OSError."""
        descriptor = atomic_file.open_plain(
            name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, folder=self._descriptor
        )
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
        except BaseException:
            self.remove(name)
            raise

    def read(self, name: str, max_bytes: int) -> bytes:
        """Read a file of this user.

        Raises OSError, and ValueError when it has more than `max_bytes`.
        """
        descriptor = atomic_file.open_plain(name, os.O_RDONLY, folder=self._descriptor)
        with os.fdopen(descriptor, "rb") as file:
            facts = os.fstat(descriptor)
            # A second name would be some other file of this user, linked to here.
            if facts.st_uid != os.geteuid() or facts.st_nlink != 1:
                raise OSError(errno.EPERM, "the file of somebody else")
            content = file.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise ValueError(f"expected at most {max_bytes} bytes")
        return content

    def remove(self, name: str) -> None:
        """Remove a file, if it is there. Raises OSError."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._descriptor)

    def names(self) -> list[str]:
        """Return the names of its files."""
        return os.listdir(self._descriptor)  # noqa: PTH208 - a Path has no descriptor


def _unsafe(path: Path, why: str) -> UserActionError:
    return UserActionError(
        "CHANNEL_UNSAFE",
        f"The folder {os.fspath(path)!r} for the way to the agent does not belong to you alone.",
        "Remove it, or take the rights of other users away: chmod go-w.",
        why,
    )
