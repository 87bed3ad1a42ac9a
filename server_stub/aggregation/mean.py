"""The plain mean: of local updates, or of the sums of groups."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from agent.errors import PeerError
from agent.privacy.codec import Words, decode_sum, read_update
from agent.privacy.zcdp import sent_words
from agent.protocol.envelope import decode
from agent.protocol.messages import RoundConfig
from server_stub.aggregation.groups import (
    Combined,
    Facts,
    Floats,
    GroupMeans,
    by_counts,
    weighted,
)


def mean(groups: GroupMeans, root: Floats | None, facts: Facts) -> Combined:  # noqa: ARG001
    """Every device counts the same, however large its group is: one of them can move the update
    anywhere.
    """
    return weighted(groups, by_counts(groups), ("",) * len(groups))


def mean_update(bodies: Iterable[bytes], config: RoundConfig) -> tuple[NDArray[np.float64], int]:
    """The mean of these envelopes' updates, shape (d,), and their number. The sum is exact, so
    their order does not matter.

    Raises PeerError WRONG_SHAPE, SUM_OUT_OF_RANGE.
    """
    # Words have at most 32 bits, so int64 holds the exact sum of two billion updates.
    total, count = np.zeros(sent_words(config), np.int64), 0
    for body in bodies:
        total += read_update(decode(body).payload, config)
        count += 1
    if not count:
        raise PeerError("WRONG_SHAPE", "There is no update to average.", "Nothing was changed.")
    return decode_sum(total, config, count), count


def mean_of_groups(
    sums: Sequence[tuple[Words, int]], config: RoundConfig
) -> tuple[NDArray[np.float64], list[bool]]:
    """The mean update over all devices in the groups' sums, shape (d,), and which sums were usable.

    `sums`: words modulo 2^bits, and the number of devices in them. A sum outside the range of
    honest updates is left out and costs no other group anything. Raises PeerError SUM_OUT_OF_RANGE
    when no sum is usable.
    """
    total, devices, usable = np.zeros(config.d), 0, []
    for words, count in sums:
        try:
            # Weighted by devices: each counts the same, however large its group is.
            total += decode_sum(words, config, count) * count
        except PeerError:
            # A sum does not show whose update it was, so the whole group is left out.
            usable.append(False)
            continue
        devices += count
        usable.append(True)
    if not devices:
        raise PeerError("SUM_OUT_OF_RANGE", "No group's sum can be used.", "Nothing was changed.")
    return total / devices, usable
