"""The tree of errors, split by who must act.

Every error has a stable `code` that scripts rely on, a `message` (one sentence for people) and a
`remedy` (what that person can do). `detail` is for the log. None of them ever holds a secret or the
content of a file.
"""

import os
import sys
from pathlib import Path


class AegisError(Exception):
    """The base of all errors that a person may see. Raise one of the four families below."""

    def __init__(self, code: str, message: str, remedy: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()

    def to_json(self) -> dict[str, str]:
        """Return the form for the local channel and for `--json`."""
        return {"code": self.code, "message": self.message, "remedy": self.remedy}


class UserActionError(AegisError):
    """The person at this computer can act."""


class OperatorActionError(AegisError):
    """IT or the operator of the aggregator must act."""


class PeerError(AegisError):
    """The other end (server, device, client of the local channel, file) sent something wrong;
    nothing was changed.
    """


class InternalError(AegisError):
    """A bug in AegisAI."""


def traced(error: Exception) -> str:
    """Return the type of an error that nobody expected, and where it was raised: "KeyError in
    codec.py:12". AEGIS_TRACE=1 prints its stack of calls too.
    """
    import traceback

    if os.environ.get("AEGIS_TRACE") == "1":
        traceback.print_exception(error, file=sys.stderr)
    last = traceback.extract_tb(error.__traceback__)[-1:]
    place = "".join(f" in {Path(frame.filename).name}:{frame.lineno}" for frame in last)
    return f"{type(error).__name__}{place}"
