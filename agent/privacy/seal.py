"""The only maker of a sealed update: an update that was clipped, rounded, noised and bound to one
round, in its envelope.
"""

import os

from agent.privacy.codec import Vector, encode_update
from agent.protocol.envelope import encode
from agent.protocol.messages import Mode, RoundConfig
from agent.protocol.packing import pack

KINDS = {Mode.LOCAL: "local-update", Mode.SECAGG: "sealed-words"}
"""`sealed-words` never leave the device as they are: the device's masks are added first
(agent.secagg)."""


def seal(vector: Vector, config: RoundConfig, attempt: str) -> bytes:
    """Seal an update (shape (d,)) for one round with fresh noise of the operating system.

    `attempt`: random id of this seal, hex. Raises InternalError NOT_FINITE, WRONG_SHAPE.
    """
    header = {
        "kind": KINDS[config.mode],
        "task_id": config.task_id,
        "round_id": config.round_id,
        "config_digest": config.digest,
        "attempt": attempt,
        "d": config.d,
        "bits": config.bits,
    }
    return encode(header, pack(encode_update(vector, config, os.urandom(32)), config.bits))


def seal_local(vector: Vector, config: RoundConfig, attempt: str) -> bytes:
    """Seal for `local` mode. Raises ValueError for a round of another mode."""
    if config.mode is not Mode.LOCAL:
        raise ValueError("expected a round in local mode")
    return seal(vector, config, attempt)
