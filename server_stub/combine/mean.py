"""The plain mean of local updates, and the model that follows from it."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from agent.errors import PeerFault
from agent.privacy.codec import decode_sum, read_update
from agent.privacy.zcdp import sent_words
from agent.protocol.envelope import decode
from agent.protocol.messages import RoundConfig


def mean_update(bodies: Iterable[bytes], config: RoundConfig) -> tuple[NDArray[np.float64], int]:
    """Mean of the updates in these envelopes, shape (d,), and how many there were. The order does not matter: the sum is exact.

    Raises PeerFault WRONG_SHAPE, SUM_OUT_OF_RANGE.
    """
    total, count = np.zeros(sent_words(config), np.int64), 0
    for body in bodies:
        total += read_update(decode(body).payload, config)
        count += 1
    if not count:
        raise PeerFault("WRONG_SHAPE", "There is no update to average.", "Nothing was changed.")
    return decode_sum(total, config, count), count
