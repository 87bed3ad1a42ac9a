"""The one tree of errors, split by who must act.

Every error has a stable `code` (scripts rely on it), a sentence for people, and a `remedy`: what
that person can do about it. `detail` is for the log. None of the three ever holds a secret or the
content of a file.
"""


class AegisError(Exception):
    """Base of all errors that a person may see.

    Raise one of the four families below, never this.
    """

    def __init__(self, code: str, message: str, remedy: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()

    def to_json(self) -> dict[str, str]:
        """The form that travels over the local channel and in `--json` answers."""
        return {"code": self.code, "message": self.message, "remedy": self.remedy}


class UserActionError(AegisError):
    """The person at this computer can act on it."""


class OperatorActionError(AegisError):
    """IT or the operator of the aggregator must act."""


class PeerError(AegisError):
    """The other end (server, device, a client on the local channel, a file) sent something wrong;
    nothing was changed.
    """


class InternalError(AegisError):
    """A bug of ours."""
