"""The switch: a small file beside the record that says "on" for exactly one recorded yes.

1. It is allocated when a person agrees, and overwritten in place when they withdraw. So withdrawing
   needs neither free space nor the database.
2. It has a fixed size of one disk sector and a checksum. A file that is missing, torn, unreadable
   or made for another entry means off.
3. `agent.consent.record` decides whether consent is given: the record and the switch must both say
   yes, and no mark (agent.consent.mark) may say no.
"""

import contextlib
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.consent.mark import Mark
from agent.files import atomic_file
from agent.paths import Home, runtime_folder

SIZE = 512
_FORM = re.compile(
    rb"AegisAI consent 1 (?P<word>on|off) (?P<entry>[0-9a-f]{64}) (?P<at>\d{1,12})"
    rb" (?P<surface>[!-~]{1,40}) (?P<sum>[0-9a-f]{64})\n *"
)
NOBODY = "00" * 32


@dataclass(frozen=True)
class Position:
    """What the file says."""

    is_on: bool
    entry: str
    """Hash of the row of the record that it belongs to."""
    at: int
    """When it was set, in seconds since the epoch."""
    surface: str


class Switch:
    """The switch of one home. Reads it afresh each time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def is_on(self, entry: str) -> bool:
        """Whether the switch is on for this row of the record."""
        position = self.position()
        return position is not None and position.is_on and position.entry == entry

    def position(self) -> Position | None:
        """Return what the file says; None when it is missing, torn or unreadable."""
        try:
            content = atomic_file.read(self._path, SIZE)
        except (OSError, ValueError):
            return None
        found = _FORM.fullmatch(content)
        if (
            found is None
            or hashlib.sha256(content[: found.start("sum")]).hexdigest().encode() != (found["sum"])
        ):
            return None
        return Position(
            found["word"] == b"on",
            found["entry"].decode(),
            int(found["at"]),
            found["surface"].decode(),
        )

    def turn_on(self, entry: str, now: int, surface: str) -> None:
        """Allocate the file, durably. Raises OSError; then the switch is as it was."""
        atomic_file.write(self._path, _content("on", entry, now, surface))

    def turn_off(self, now: int, surface: str) -> None:
        """Overwrite the file in place, durably. Raises OSError; then nothing was saved.

        A file that can be removed but not overwritten is removed: missing means off.
        """
        position = self.position()
        if position is not None and not position.is_on:
            return
        entry = NOBODY if position is None else position.entry
        try:
            atomic_file.overwrite(self._path, _content("off", entry, now, surface))
        except FileNotFoundError:
            return
        except OSError:
            atomic_file.remove(self._path)

    def put_back(self, position: Position | None) -> None:
        """Undo a `turn_on` whose row did not reach the record, as far as the disk allows."""
        if position is not None and position != self.position():
            word = "on" if position.is_on else "off"
            content = _content(word, position.entry, position.at, position.surface)
            with contextlib.suppress(OSError):
                atomic_file.overwrite(self._path, content)

    def clear(self) -> None:
        """Remove the file: off, for a record that is empty now. Raises OSError."""
        atomic_file.remove(self._path)


def _content(word: str, entry: str, at: int, surface: str) -> bytes:
    shown = re.sub(r"[^!-~]", "_", surface)[:40] or "unknown"
    text = f"AegisAI consent 1 {word} {entry} {max(0, at)} {shown} ".encode()
    return (text + hashlib.sha256(text).hexdigest().encode() + b"\n").ljust(SIZE)


def consent_files(home: Home, environ: Mapping[str, str]) -> tuple[Switch, Mark]:
    """Return what says no beside the record: it works without the database too."""
    elsewhere = runtime_folder(environ) / f"{home.name}.withdrawn"
    return Switch(home.consent_switch), Mark(home.withdrawal_mark, elsewhere)
