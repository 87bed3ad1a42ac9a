"""Opens the sum of a group from its masked inputs and the shares that were returned."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.privacy.zcdp import sent_words
from agent.protocol.packing import unpack
from server_stub.secagg.contributions import Contributions
from server_stub.secagg.drawn_group import DrawnGroup
from server_stub.secagg.unmasking import Opening, unmask

Words = NDArray[np.uint32]


@dataclass(frozen=True)
class GroupSum:
    """An opened group: `agent.privacy.codec.decode_sum` turns `words` and `count` into a mean."""

    words: Words
    """Sum of the survivors' noised words modulo 2^bits."""
    count: int
    devices: tuple[str, ...]
    """Ids of the survivors."""


def open_sum(group: DrawnGroup, contributions: Contributions) -> GroupSum:
    """The sum over the survivors, with every mask removed.

    Needs the shares of at least `group.threshold` devices. Raises FalseDealersError.
    """
    config, survivors = group.config, contributions.survivors
    words = np.zeros(sent_words(config), np.uint32)
    for packed in contributions.inputs.values():
        # uint32 wraps around, and 2^bits divides 2^32: one reduction at the end is enough.
        words += unpack(packed, config.bits, len(words))
    opening = Opening(
        context=group.context,
        model_digest=config.model_digest,
        config_digest=config.digest,
        masking_keys=[member.masking_key for member in group.roster.members],
        self_digests={
            dealer: contributions.dealings[dealer].self_digest for dealer in contributions.dealers
        },
        dealers=contributions.dealers,
        survivors=survivors,
    )
    # Every share was checked against its commitment, so any `threshold` of them will do.
    unmask(
        words,
        opening,
        {giver: contributions.shares[giver] for giver in givers(group, contributions)},
    )
    words &= np.uint32((1 << config.bits) - 1)
    return GroupSum(
        words, len(survivors), tuple(group.device_ids[number] for number in sorted(survivors))
    )


def givers(group: DrawnGroup, contributions: Contributions) -> tuple[int, ...]:
    """The devices whose shares open the secrets: the first `group.threshold`."""
    return tuple(sorted(contributions.shares)[: group.threshold])
