"""Lists the files of a run, in a fixed order and up to a bound, and opens each one safely.

A path is checked before it is opened and again after. Only regular files pass, and they are opened
non-blocking, so a FIFO or a device never delays the run.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

MAX_DEPTH = 64
_MESSAGES = {
    "NOT_PE": "Not a Windows executable (PE).",
    "TRUNCATED_PE": "This Windows executable is cut off: its end is missing.",
    "BROKEN_PE": "The headers of this Windows executable cannot be read.",
    "NOT_A_FILE": "Not an ordinary file.",
    "LINK_LEADS_OUT": "This link leads out of the folders that you named.",
    "NOT_FOUND": "There is no such file.",
    "UNREADABLE": "This file cannot be read.",
    "TOO_LARGE": "This file is too large to learn from (over 1 GiB).",
    "TOO_SLOW": "Reading this file took too long.",
    "TOO_MANY_FILES": "The rest was left out: one run handles only so many files.",
    "PARSER_CRASHED": "Reading this file crashed the process that read it.",
}


class RefusedFileError(Exception):
    """A file has no feature row. `code` is one of the keys above."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
        self.message = _MESSAGES[code]


@contextmanager
def opened(path: str) -> Iterator[tuple[int, int]]:
    """Open an ordinary file; yields its descriptor and its size. Raises RefusedFileError."""
    flags = os.O_RDONLY
    for name in ("O_NONBLOCK", "O_NOCTTY", "O_BINARY", "O_CLOEXEC"):
        flags |= getattr(os, name, 0)
    try:
        # Before opening: opening a device may already have an effect.
        _check_regular(os.stat(path).st_mode)  # noqa: PTH116 - any bytes may be a path
        descriptor = os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RefusedFileError("NOT_FOUND") from error
    except (OSError, ValueError) as error:
        raise RefusedFileError("UNREADABLE") from error
    try:
        facts = os.fstat(descriptor)
        _check_regular(facts.st_mode)
        yield descriptor, facts.st_size
    except OSError as error:
        raise RefusedFileError("UNREADABLE") from error
    finally:
        os.close(descriptor)


def _check_regular(mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise RefusedFileError("NOT_A_FILE")


def files_below(paths: Sequence[str], most: int) -> Iterator[str | tuple[str, RefusedFileError]]:
    """Yield the path of each file, or a path that cannot be walked with its reason.

    A link to a folder is followed where it is named, not below, so that circles of links end. A
    link to a file is followed within what is named. After `most` entries follows one
    TOO_MANY_FILES.
    """
    for count, entry in enumerate(_walk_all(paths)):
        if count == most:
            yield (
                (entry if isinstance(entry, str) else entry[0]),
                RefusedFileError("TOO_MANY_FILES"),
            )
            return
        yield entry


def _walk_all(paths: Sequence[str]) -> Iterator[str | tuple[str, RefusedFileError]]:
    named = _Named(paths)
    for path in paths:
        if os.path.isdir(path):  # noqa: PTH112 - any bytes may be a path
            yield from _walk(path, MAX_DEPTH, named)
        else:
            yield path


class _Named:
    """The paths that the person named, to follow links within them only.

    The sandbox of the worker refuses the rest anyway, where the system has one.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths
        self._real: frozenset[str] | None = None

    def __contains__(self, path: str) -> bool:
        if self._real is None:  # most folders hold no links
            self._real = frozenset(map(os.path.realpath, self._paths))
        real = os.path.realpath(path)
        while real not in self._real:
            above = os.path.dirname(real)  # noqa: PTH120 - any bytes may be a path
            if above == real:
                return False
            real = above
        return True


def _walk(folder: str, depth: int, named: _Named) -> Iterator[str | tuple[str, RefusedFileError]]:
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError:
        yield folder, RefusedFileError("UNREADABLE")
        return
    for entry in entries:
        if entry.is_symlink() and not os.path.isdir(entry.path):  # noqa: PTH112 - as above
            inside = entry.path in named
            yield entry.path if inside else (entry.path, RefusedFileError("LINK_LEADS_OUT"))
        elif entry.is_symlink():
            continue
        elif not entry.is_dir(follow_symlinks=False):
            yield entry.path
        elif depth:
            yield from _walk(entry.path, depth - 1, named)
        else:
            yield entry.path, RefusedFileError("UNREADABLE")
