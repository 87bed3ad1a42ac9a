"""Benign by provenance: files that match the checksum in a Debian package's list.

dpkg keeps one list a package, `info/NAME.md5sums`, with lines `MD5  usr/share/x.exe`. A match says
that the file is the one that the package brought. It does not say that the package is good, and MD5
stops accidents, not an attacker.
"""

import os
import re
from collections.abc import Collection

from agent.worker.files import RefusedFileError
from agent.worker.sources.program import Program
from agent.worker.sources.source import Places, read_text

INFO = os.path.join("var", "lib", "dpkg", "info")  # noqa: PTH118 - paths stay text
MAX_LIST_BYTES = 64 * 1024 * 1024
_LINE = re.compile(r"([0-9a-f]{32})  (.+)")


class Packages:
    """The lists of all packages, as far as they name the programs that were found."""

    def __init__(self, places: Places, programs: Collection[str]) -> None:
        self.problem = ""
        self._md5: dict[str, set[str]] = {}
        asked = frozenset(map(_merged, programs))
        for folder in places.paths:
            root = folder.removesuffix(INFO)
            try:
                with os.scandir(folder) as listing:
                    names = [one.path for one in listing if one.name.endswith(".md5sums")]
            except OSError:
                self.problem = "UNREADABLE"
                continue
            for name in names:
                self._read(name, root, asked)

    def knows(self, program: Program) -> bool:
        listed = self._md5.get(_merged(program.path))
        return listed is not None and program.checksums.md5 in listed

    def _read(self, path: str, root: str, asked: frozenset[str]) -> None:
        try:
            lines = read_text(path, MAX_LIST_BYTES).splitlines()
        except RefusedFileError:
            self.problem = "UNREADABLE"
            return
        for line in lines:
            if (found := _LINE.fullmatch(line)) is None:
                continue
            name = _merged(os.path.normpath(root + found[2]))
            if name in asked:
                self._md5.setdefault(name, set()).add(found[1])


def _merged(path: str) -> str:
    """Return one name for a file that is reached through /lib and through /usr/lib."""
    real = os.path.dirname(path)  # noqa: PTH120 - paths stay text
    return os.path.join(os.path.realpath(real), os.path.basename(path))  # noqa: PTH118, PTH119
