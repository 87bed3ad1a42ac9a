"""The draw is a shuffle that follows from the whole list, and cuts it into equal groups."""

import os
from collections import Counter
from dataclasses import replace

import pytest

from agent.protocol.draw import Draw, group_count, leaf, list_digest
from tests.fakes.secagg import plan

LEAVES = tuple(sorted(leaf(bytes([number])) for number in range(20)))


def config(g_max, min_group):
    return replace(plan(g_max), min_group=min_group, min_sum=2)


def test_known_answers():
    draw = Draw(LEAVES, b"s" * 32)
    assert leaf(b"record").hex()[:16] == "54ea4449d2adf8b9"
    assert list_digest(LEAVES).hex()[:16] == "1bda2ba836fcaad9"
    assert draw.beacon.hex()[:16] == "2c2128e166321683"
    assert sorted(min(group).hex()[:8] for group in draw.groups(config(7, 3))) == [
        "080ec091",
        "089ab400",
        "48ae401c",
    ]


@pytest.mark.parametrize(
    ("advertised", "g_max", "least", "groups", "size"),
    [
        (31, 63, 32, 0, 0),
        (32, 63, 32, 1, 32),
        (63, 63, 32, 1, 63),
        (64, 63, 32, 2, 32),
        (1000, 63, 32, 16, 63),
        (50, 40, 32, 1, 40),
    ],
)
def test_the_number_of_groups_follows_from_the_number_of_devices(
    advertised, g_max, least, groups, size
):
    chosen = config(g_max, least)
    assert group_count(advertised, chosen) == groups
    leaves = tuple(sorted(os.urandom(32) for _ in range(advertised)))
    assert max(map(len, Draw(leaves).groups(chosen)), default=0) == size


def test_every_pair_of_devices_shares_a_group_equally_often():
    chosen, together = config(7, 3), Counter()
    for number in range(3000):
        for group in Draw(LEAVES, number.to_bytes(32, "big")).groups(chosen):
            together.update((one, other) for one in group for other in group if one < other)
    # 3 groups of 7, 7 and 6 of 20: (21 + 21 + 15) of 190 pairs.
    assert len(together) == 190
    assert all(abs(count / 3000 - 57 / 190) < 0.05 for count in together.values())
