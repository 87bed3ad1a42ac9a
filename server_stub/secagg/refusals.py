"""The refusals that several parts of a round share."""

from agent.errors import PeerError


def round_closed(message: str) -> PeerError:
    """The device is too late, or its round is over: it can take part in a later one."""
    return PeerError("ROUND_CLOSED", message, "AegisAI takes part in a later round.")


def not_in_group(message: str) -> PeerError:
    """The device is not a member of the group that it names."""
    return PeerError("NOT_IN_GROUP", message, "Nothing was changed.")
