"""Makes the error with which a device refuses and leaves a round."""

from agent.errors import PeerError


def refused(code: str, reason: str) -> PeerError:
    """`reason` completes "This device left the round: …"."""
    return PeerError(
        code,
        f"This device left the round: {reason}.",
        "Nothing of the update can be read. Tell the operator.",
    )
