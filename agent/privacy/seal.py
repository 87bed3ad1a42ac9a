"""Seals an update: clips, rounds and noises it, and binds it to one round in its envelope.

Nothing else makes a sealed update, and only a sealed update may leave the device.
"""

import os

from agent.privacy.codec import Vector, encode_update
from agent.protocol.envelope import encode
from agent.protocol.messages import Mode, RoundConfig
from agent.protocol.packing import pack

KINDS = {Mode.LOCAL: "local-update", Mode.SECAGG: "sealed-words"}
"""`sealed-words` never leave the device as they are: agent.secagg adds the device's masks first."""


def seal(vector: Vector, config: RoundConfig, attempt: str) -> bytes:
    """Seal an update (shape (d,)) for one round, with noise from fresh entropy.

    `attempt`: the random id of this seal, hex. Raises InternalError NOT_FINITE, WRONG_SHAPE or
    SENSITIVITY.
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
