"""What the witness of a draw signs, once for each round.

The witness is not the aggregator: it is the enrolment authority, whose certificate every device
pins. It gets the list of the round's leaves as a digest, draws a seed only then, and signs both. It
signs one list for each round, so the aggregator cannot show two, and cannot try lists until it
likes a draw.
"""

from dataclasses import dataclass

from agent.protocol.canonical import canonical
from agent.protocol.draw import Draw, list_digest
from agent.protocol.messages import RoundConfig

AUTHORITY = "authority"
"""`witness` of a task whose draws the enrolment authority witnesses."""
SEED_BYTES = 32


@dataclass(frozen=True)
class DrawRequest:
    """What is fixed before the draw."""

    task_id: str
    round_id: int
    context: bytes
    """ctx_round (agent.protocol.codec)."""
    advertised: int
    leaves: bytes
    """`list_digest`."""


@dataclass(frozen=True)
class Witnessed:
    """The witness's answer; empty where a round has no witness."""

    seed: bytes = b""
    signature: bytes = b""
    """ECDSA P-256, r ‖ s, over `statement`."""


def draw_request(config: RoundConfig, context: bytes, draw: Draw) -> DrawRequest:
    """Return what the witness is asked to sign for a round."""
    return DrawRequest(
        config.task_id, config.round_id, context, len(draw.leaves), list_digest(draw.leaves)
    )


def statement(request: DrawRequest, seed: bytes) -> bytes:
    """Return the bytes that the witness signs."""
    values = {
        "task_id": request.task_id,
        "round_id": request.round_id,
        "context": request.context.hex(),
        "advertised": request.advertised,
        "leaves": request.leaves.hex(),
        "seed": seed.hex(),
    }
    return b"secagg/witness\0" + canonical(values)
