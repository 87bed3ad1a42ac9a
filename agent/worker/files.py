"""Lists the files of a run, in a fixed order and up to a bound, and opens each one safely.

A path is checked before it is opened and again after. Only regular files pass, and they are opened
non-blocking, so a FIFO or a device never delays the run.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from operator import attrgetter

MAX_DEPTH = 64
MORE_LISTED = 1024
"""Names of folders that may be listed whatever the bound on files."""
_FLAGS = os.O_RDONLY
for _name in ("O_NONBLOCK", "O_NOCTTY", "O_BINARY", "O_CLOEXEC"):
    _FLAGS |= getattr(os, _name, 0)
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
    try:
        # Before opening: opening a device may already have an effect.
        _check_regular(os.stat(path).st_mode)  # noqa: PTH116 - any bytes may be a path
        descriptor = os.open(path, _FLAGS)
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


Entry = str | tuple[str, RefusedFileError]


def files_below(paths: Sequence[str], most: int) -> Iterator[Entry]:
    """Yield the path of each file, or a path that cannot be walked with its reason.

    A link to a folder is followed where it is named, not below, so that circles of links end. A
    link to a file is followed within what is named. After `most` entries, or once
    MORE_LISTED + 2 * `most` names were listed, follows one TOO_MANY_FILES.
    """
    for count, entry in enumerate(_Walk(paths, 2 * most + MORE_LISTED).entries()):
        if count == most:
            path = entry if isinstance(entry, str) else entry[0]
            yield path, RefusedFileError("TOO_MANY_FILES")
            return
        yield entry


class _Walk:
    """Walks what the person named, with a bound on memory and time: a folder may hold millions of
    names, and a tree any number of folders without files.
    """

    def __init__(self, paths: Sequence[str], most_listed: int) -> None:
        self._paths = paths
        self._named = _Named(paths)
        self._left = most_listed

    def entries(self) -> Iterator[Entry]:
        for path in self._paths:
            if os.path.isdir(path):  # noqa: PTH112 - any bytes may be a path
                yield from self._below(path, MAX_DEPTH)
            else:
                yield path
            if self._left < 0:
                return

    def _below(self, folder: str, depth: int) -> Iterator[Entry]:
        try:
            with os.scandir(folder) as listing:
                entries = sorted(islice(listing, self._left + 1), key=attrgetter("name"))
        except OSError:
            yield folder, RefusedFileError("UNREADABLE")
            return
        self._left -= len(entries)
        is_cut = self._left < 0
        for entry in entries:
            if entry.is_symlink():
                yield from self._link(entry.path)
            elif not entry.is_dir(follow_symlinks=False):
                yield entry.path
            elif not depth:
                yield entry.path, RefusedFileError("UNREADABLE")
            elif not is_cut:
                yield from self._below(entry.path, depth - 1)
                if self._left < 0:
                    return
        if is_cut:
            yield folder, RefusedFileError("TOO_MANY_FILES")

    def _link(self, path: str) -> Iterator[Entry]:
        if not os.path.isdir(path):  # noqa: PTH112 - any bytes may be a path
            is_inside = path in self._named
            yield path if is_inside else (path, RefusedFileError("LINK_LEADS_OUT"))


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
