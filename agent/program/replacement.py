"""What to do when the files of the running program are replaced or removed. Pure.

An upgrade replaces every file, so one file stands for all: the package's own `__init__.py`. The
agent's loop and the windows follow the same rules:

1. Files that changed must rest for SETTLE_S: an installation may still be under way.
2. Then the new program must answer `--version --whole`, in a process of its own, which first loads
   all that this command needs. Only a program that answers is executed in place of this one.
3. Files that are gone, and still are after GONE_S, end this process. Until then an upgrade may be
   under way that removes before it installs.
4. A program that does not answer is asked again, less and less often. Until it does, this process
   goes on with what it has loaded.
"""

from dataclasses import dataclass
from enum import Enum

SETTLE_S = 3.0
GONE_S = 12.0
FIRST_RETRY_S = 5.0
LONGEST_RETRY_S = 600.0

Stamp = tuple[int, int, int, int]
"""What identifies a file and its content: device, inode, size, time of the last change."""


class Act(Enum):
    """What to do next."""

    REST = "rest"
    """Nothing: the files are as they were."""
    WAIT = "wait"
    """Look again after `Step.wait_s`."""
    ASK = "ask"
    """Ask the new program, then call `answered`."""
    RESTART = "restart"
    END = "end"


@dataclass(frozen=True)
class Step:
    act: Act
    wait_s: float = 0.0


class Replacement:
    """Follows one program's files. Pure: time and stamp come from the caller."""

    def __init__(self, stamp: Stamp | None) -> None:
        self._original = stamp
        self._seen = stamp
        self._since = 0.0
        """When `_seen` was first seen."""
        self._gone_since: float | None = None
        self._retry_at = 0.0
        self._retry_s = FIRST_RETRY_S
        self._is_forced = False

    def force(self) -> None:
        """The person who installed it says that the program was replaced."""
        self._is_forced = True
        self._retry_at = 0.0

    def next_step(self, stamp: Stamp | None, now: float) -> Step:
        """Return what to do, now that the file has this stamp."""
        if stamp != self._seen:
            self._seen, self._since = stamp, now
            self._retry_at, self._retry_s = 0.0, FIRST_RETRY_S
        if stamp is not None:
            self._gone_since = None
        elif self._gone_since is None:
            self._gone_since = now
        if stamp == self._original and not self._is_forced:
            return Step(Act.REST)
        rest_s = 0.0 if self._is_forced else self._since + SETTLE_S - now
        wait_s = max(rest_s, self._retry_at - now)
        return Step(Act.WAIT, wait_s) if wait_s > 0 else Step(Act.ASK)

    def answered(self, *, is_whole: bool, now: float) -> Step:
        """Return what to do after the new program has answered, or not."""
        if is_whole:
            return Step(Act.RESTART)
        self._is_forced = False
        if self._gone_since is not None and now - self._gone_since >= GONE_S:
            return Step(Act.END)
        wait_s = self._retry_s
        if self._gone_since is None:
            self._retry_s = min(2 * self._retry_s, LONGEST_RETRY_S)
        self._retry_at = now + wait_s
        return Step(Act.WAIT, wait_s)
