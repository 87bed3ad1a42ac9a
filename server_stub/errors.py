"""The errors that only the aggregator raises. All others are in `agent.errors`."""

from agent.errors import PeerError


class BusyError(PeerError):
    """The server cannot answer now; the caller may ask again after `retry_after_s` seconds."""

    def __init__(self, code: str, message: str, retry_after_s: int) -> None:
        super().__init__(code, message, f"Try again in {retry_after_s} seconds.")
        self.retry_after_s = retry_after_s
