"""Where the passphrase of a key store in a file comes from: the terminal, a pipe or a file.

A person is asked at the terminal of the process that needs it, once in the life of that process,
and twice for a new file, so that a slip of the finger locks nobody out.
"""

import getpass
import sys
from collections.abc import Callable
from pathlib import Path

from agent.errors import AegisError, UserActionError
from agent.identity.errors import passphrase_missing, passphrase_wrong, passphrases_differ

STANDARD_INPUT = "-"
MAX_PASSPHRASE_BYTES = 4096
MAX_ATTEMPTS = 3


class Passphrase:
    """The passphrase of one process; `opens` says whether it is the right one.

    `source` is the name of a file, "-" for standard input, or "" for the terminal.
    """

    def __init__(self, source: str, opens: Callable[[bytes], bool]) -> None:
        self._source = source
        self._opens = opens
        self._known: bytes | None = None
        self._gave_up: AegisError | None = None

    def ask(self, is_new: bool) -> bytes:
        """Return it. `is_new`: it is chosen now, so a person types it twice.

        Raises UserActionError PASSPHRASE_MISSING, PASSPHRASE_WRONG (also at once after the last
        attempt was wrong) or PASSPHRASES_DIFFER.
        """
        if self._known is not None:
            return self._known
        if self._gave_up is not None:
            raise self._gave_up
        try:
            self._known = self._first(is_new)
        except AegisError as error:
            self._gave_up = error
            raise
        return self._known

    def ask_anew(self) -> None:
        """After a failure, ask again at the next call: for a person's act only."""
        self._gave_up = None

    def _first(self, is_new: bool) -> bytes:
        if self._source:
            passphrase = _read(self._source)
            if not is_new and not self._opens(passphrase):
                raise passphrase_wrong()
            return passphrase
        if not sys.stdin.isatty():
            raise passphrase_missing()
        if is_new:
            return _chosen()
        for attempt in range(MAX_ATTEMPTS):
            again = "That was wrong. " if attempt else ""
            passphrase = _typed(f"{again}Passphrase of the key store: ")
            if self._opens(passphrase):
                return passphrase
        raise passphrase_wrong()


def _chosen() -> bytes:
    passphrase = _typed("Choose a passphrase for the key store: ")
    if _typed("Type it again: ") != passphrase:
        raise passphrases_differ()
    return passphrase


def _typed(question: str) -> bytes:
    try:
        passphrase = getpass.getpass(question).encode()
    except EOFError as error:
        raise passphrase_missing() from error
    if not passphrase:
        raise passphrase_missing()
    return passphrase


def _read(source: str) -> bytes:
    """Read the first line."""
    try:
        if source == STANDARD_INPUT:
            line = sys.stdin.buffer.readline(MAX_PASSPHRASE_BYTES + 1)
        else:
            with Path(source).open("rb") as file:
                line = file.readline(MAX_PASSPHRASE_BYTES + 1)
    except OSError as error:
        raise UserActionError(
            "CANNOT_READ", "The file with the passphrase cannot be read.", "Check its name."
        ) from error
    passphrase = line.rstrip(b"\r\n")
    if not passphrase or len(passphrase) > MAX_PASSPHRASE_BYTES:
        raise passphrase_missing()
    return passphrase
