"""Benign by provenance: files that match the checksum in a Python package's list.

An installed package has a folder `NAME-VERSION.dist-info` beside it, with a list `RECORD`: lines
`path,sha256=…,size` (PEP 376, PEP 427). Whoever can write there can write both file and list: a
match says that the file is the one that was installed, not that it is good.
"""

import base64
import csv
import os
from collections.abc import Collection

from agent.worker.files import RefusedFileError
from agent.worker.sources.program import Program
from agent.worker.sources.source import Places, read_text

MAX_RECORD_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 12
"""How many folders above a program may hold the list of its package."""
_PREFIX = "sha256="


class Wheels:
    """The lists of the packages that the programs may be from."""

    def __init__(self, _: Places, programs: Collection[str]) -> None:
        self.problem = ""
        self._sha256: dict[str, str] = {}
        asked, seen = frozenset(programs), set[str]()
        for path in programs:
            folder = path
            for _depth in range(MAX_DEPTH):
                above = os.path.dirname(folder)  # noqa: PTH120 - paths stay text
                if above in seen or above == folder:
                    break
                seen.add(above)
                folder = above
                self._read_packages(folder, asked)

    def knows(self, program: Program) -> bool:
        listed = self._sha256.get(program.path)
        return listed is not None and program.checksums.sha256 == listed

    def _read_packages(self, folder: str, asked: frozenset[str]) -> None:
        """Read the lists in a folder of packages. A folder that is not to be read has none."""
        try:
            with os.scandir(folder) as listing:
                infos = [one.path for one in listing if one.name.endswith(".dist-info")]
        except OSError:
            return
        for info in infos:
            try:
                text = read_text(os.path.join(info, "RECORD"), MAX_RECORD_BYTES)  # noqa: PTH118
            except RefusedFileError as error:
                self.problem = self.problem or ("" if error.code == "NOT_FOUND" else error.code)
                continue
            self._read(text, folder, asked)

    def _read(self, text: str, folder: str, asked: frozenset[str]) -> None:
        try:
            rows = list(csv.reader(text.splitlines()))
        except csv.Error:
            return
        for row in rows:
            if len(row) == 3 and row[1].startswith(_PREFIX):
                path = os.path.normpath(os.path.join(folder, row[0]))  # noqa: PTH118
                digest = _hex(row[1].removeprefix(_PREFIX))
                if digest and path in asked:
                    self._sha256[path] = digest


def _hex(text: str) -> str:
    """Return a digest in base64 without padding as hex; empty for what is none."""
    try:
        digest = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except ValueError:
        return ""
    return digest.hex() if len(digest) == 32 else ""
