"""How this process was started, and how the program in its place is asked and executed."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from agent.program.replacement import Stamp

ANSWER_S = 60.0
"""How long the new program may take to answer."""
WHOLE = "--whole"
"""Behind `--version`: load first all that the command after it needs."""


@dataclass(frozen=True)
class Program:
    """How this process was started, and the file that stands for all its files."""

    command: tuple[str, ...]
    """Everything before the arguments."""
    arguments: tuple[str, ...]
    file: Path

    def stamp(self) -> Stamp | None:
        """Return what changes when the file is replaced or written; None: it is gone."""
        try:
            facts = self.file.stat()
        except OSError:
            return None
        return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns

    def question(self) -> list[str]:
        """Return the command that answers if the program's files are whole."""
        return [*self.command, "--version", WHOLE, *self.arguments[:1]]

    def answers(self) -> bool:
        """Ask it, and wait up to ANSWER_S."""
        try:
            done = subprocess.run(
                self.question(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=ANSWER_S,
                check=False,
            )
        except (OSError, subprocess.SubprocessError):
            return False
        return done.returncode == 0 and bool(done.stdout.strip())

    def execute(self) -> NoReturn:
        """Execute the new program in place of this one: same process id, same session."""
        os.execv(self.command[0], [*self.command, *self.arguments])  # noqa: S606 - our own


def this_program(
    file: Path, argv: Sequence[str] | None = None, original: Sequence[str] | None = None
) -> Program:
    """Return this process's program; `file` stands for its files."""
    arguments = tuple(sys.argv if argv is None else argv)[1:]
    words = tuple(sys.orig_argv if original is None else original)
    options = words[1 : len(words) - len(arguments)]
    if getattr(sys, "frozen", False):
        options = ()
    return Program((sys.executable, *options), arguments, file)
