"""Remembers why the last cycle failed or waited, for whoever asks while no agent can answer.

One small file of the home: `aegis status` reads it when no agent runs, and the window until the
agent answers. A file that cannot be read says nothing.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from agent.files import atomic_file
from agent.reasons import Reason, ReasonCode

MAX_BYTES = 128 * 1024
MAX_REASONS = 8
MAX_TEXT_CHARS = 600


@dataclass(frozen=True)
class LastCycle:
    """Why a cycle failed or waited."""

    at: int
    """When it ended, in seconds since the epoch."""
    reasons: tuple[Reason, ...]
    """The headline first; each carries `at`."""


class LastCycleFile:
    """Reads and writes the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> LastCycle | None:
        """Return what was written last; None without a file that can be read."""
        try:
            noted = json.loads(atomic_file.read(self._path, MAX_BYTES))
            at = noted["at"]
            reasons = tuple(_reason(one, at) for one in noted["reasons"][:MAX_REASONS])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        return LastCycle(at, reasons)

    def write(self, last: LastCycle) -> None:
        """Replace what was written last. Raises OSError."""
        reasons = [
            {**asdict(_shortened(reason)), "code": reason.code.value}
            for reason in last.reasons[:MAX_REASONS]
        ]
        atomic_file.write(self._path, json.dumps({"at": last.at, "reasons": reasons}).encode())

    def clear(self) -> None:
        """Forget it. Raises OSError."""
        self._path.unlink(missing_ok=True)


def _reason(noted: dict[str, Any], at: int) -> Reason:
    """Return a noted reason. Raises ValueError, KeyError or TypeError for anything else."""
    texts = {name: noted[name] for name in ("text", "reading", "source", "setting")}
    until = noted["until"]
    whole = (at,) if until is None else (at, until)
    if not all(type(value) is int for value in whole):
        raise TypeError("expected seconds")
    if not all(isinstance(value, str) for value in texts.values()):
        raise TypeError("expected texts")
    return _shortened(Reason(ReasonCode(noted["code"]), **texts, until=until, at=at))


def _shortened(reason: Reason) -> Reason:
    return replace(
        reason, text=reason.text[:MAX_TEXT_CHARS], reading=reason.reading[:MAX_TEXT_CHARS]
    )
