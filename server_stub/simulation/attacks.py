"""What lying devices of a simulation send in place of an honest update.

`label-flip` learns honestly from the opposite labels. `sign-flip` turns the honest update round.
`scale-within` turns it round and makes it as long as the clipping norm allows. `scale-over` is a
changed program: it adds fifty times the clipping norm after the check.
"""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from agent.privacy import codec
from agent.protocol.messages import RoundConfig

OVER = 50


class Attack(StrEnum):
    NONE = "none"
    SIGN_FLIP = "sign-flip"
    SCALE_WITHIN = "scale-within"
    SCALE_OVER = "scale-over"
    LABEL_FLIP = "label-flip"


def bent(attack: Attack, update: codec.Vector, clip: float) -> codec.Vector:
    """The update (d,) that an attacker hands to the codec."""
    if attack is Attack.SIGN_FLIP:
        return -update
    if attack in (Attack.SCALE_WITHIN, Attack.SCALE_OVER):
        length = float(np.linalg.norm(update))
        return -update * (clip / length if length else 0.0)
    return update


def words(
    attack: Attack, update: codec.Vector, config: RoundConfig, entropy: bytes
) -> NDArray[np.uint32]:
    """An attacker's noised words."""
    made = codec.encode_update(bent(attack, update, float(config.clip)), config, entropy)
    if attack is not Attack.SCALE_OVER:
        return made
    wide = codec.rotate(bent(attack, update, (OVER - 1) * float(config.clip)), config)[
        codec.subset(config)
    ]
    return codec.to_words(
        codec.signed(made, config.bits) + np.rint(wide / float(config.grid)).astype(np.int64),
        config.bits,
    )
