"""Which files a job may open, and which ones Python itself needs."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_LIBRARY_FOLDERS = (
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/nix/store",
    "/gnu/store",
)
"""Where a system keeps its shared libraries."""
_SYSTEM_FILES = ("/etc/ld.so.cache", "/sys/devices/system/cpu", "/dev/null", "/dev/urandom")
_PACKAGES = ("site-packages", "dist-packages")
_OWN_PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Access:
    """What a job may open beside Python itself. Folders count with everything below them."""

    read: tuple[str, ...] = ()
    """Files and folders."""
    write: tuple[str, ...] = ()
    """Folders in which it may create, write, rename and remove files."""


def program_files(
    import_path: Sequence[str], prefixes: Iterable[str], library_path: str = ""
) -> tuple[str, ...]:
    """Return the folders of Python, its packages and the system's libraries. Pure.

    `import_path` is sys.path. Of an entry outside Python's own folders (a clone, a person's
    folder) only this program's package counts: beside it may lie anything. `library_path` is
    LD_LIBRARY_PATH.
    """
    own = {Path(prefix) for prefix in prefixes if prefix}
    folders = [str(prefix / "lib") for prefix in sorted(own)]
    folders += [entry for entry in import_path if _is_python(Path(entry), own)]
    folders += [entry for entry in library_path.split(":") if entry.startswith("/")]
    return tuple(dict.fromkeys((*folders, str(_OWN_PACKAGE), *_LIBRARY_FOLDERS, *_SYSTEM_FILES)))


def this_program() -> tuple[str, ...]:
    """Return `program_files` of the running Python."""
    if getattr(sys, "frozen", False):  # a bundle is one folder, of Python and this program only
        return (sys.prefix, *program_files(sys.path, (), ""))
    prefixes = (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix)
    return program_files(sys.path, prefixes, os.environ.get("LD_LIBRARY_PATH", ""))


def _is_python(entry: Path, prefixes: set[Path]) -> bool:
    if not entry.is_absolute():
        return False
    return entry.name in _PACKAGES or any(_is_below(entry, prefixes))


def _is_below(entry: Path, prefixes: set[Path]) -> Iterator[bool]:
    return (prefix in entry.parents for prefix in prefixes)
