"""The updates that malicious devices of a simulation send instead of an honest one.

- `label-flip`: learns honestly, from flipped labels.
- `sign-flip`: reverses the honest update.
- `scale-within`: reverses it and scales it up to the clipping norm.
- `scale-over`: a modified program that adds fifty times the clipping norm after the clipping.
"""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from agent.privacy import codec
from agent.protocol.messages import RoundConfig

SCALE_OVER_FACTOR = 50
"""In clipping norms."""


class Attack(StrEnum):
    NONE = "none"
    SIGN_FLIP = "sign-flip"
    SCALE_WITHIN = "scale-within"
    SCALE_OVER = "scale-over"
    LABEL_FLIP = "label-flip"


def poison(attack: Attack, update: codec.Vector, clip: float) -> codec.Vector:
    """The update (d,) that an attacker passes to the codec."""
    if attack is Attack.SIGN_FLIP:
        return -update
    if attack in (Attack.SCALE_WITHIN, Attack.SCALE_OVER):
        norm = float(np.linalg.norm(update))
        return -update * (clip / norm if norm else 0.0)
    return update


def words(
    attack: Attack, update: codec.Vector, config: RoundConfig, entropy: bytes
) -> NDArray[np.uint32]:
    """The noised words of an attacker."""
    noised = codec.encode_update(poison(attack, update, float(config.clip)), config, entropy)
    if attack is not Attack.SCALE_OVER:
        return noised
    # The codec clips, so the excess is added to the words that it returned.
    excess = codec.rotate(
        poison(attack, update, (SCALE_OVER_FACTOR - 1) * float(config.clip)), config
    )[codec.subset(config)]
    return codec.to_words(
        codec.signed(noised, config.bits) + np.rint(excess / float(config.grid)).astype(np.int64),
        config.bits,
    )
