"""The errors that only the aggregator raises. All others are in `agent.errors`."""

from agent.errors import PeerError


class BusyError(PeerError):
    """The server cannot answer now; the caller may ask again after `retry_after_s` seconds."""

    def __init__(self, code: str, message: str, retry_after_s: int) -> None:
        super().__init__(code, message, f"Try again in {retry_after_s} seconds.")
        self.retry_after_s = retry_after_s


class ExcludedError(PeerError):
    """The device misses `rounds` more rounds, at the latest until `until`."""

    def __init__(self, rounds: int, until: int) -> None:
        super().__init__(
            "EXCLUDED",
            "This device is excluded from the next rounds.",
            "It takes part again by itself later. The operator holds the evidence.",
        )
        self.rounds = rounds
        self.until = until
