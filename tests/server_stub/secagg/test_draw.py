"""The draw puts every device into exactly one group or leaves it out, by every
device's nonce.
"""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.protocol import codec, merkle
from server_stub.secagg.draw import draw_groups
from tests.fakes.secagg import plan


def advertisements(count, seed=0):
    """Advertisements with nonces that follow from `seed`; nothing in a draw is verified."""
    return {
        f"device-{number:04d}": codec.Advertisement(
            f"device-{number:04d}",
            (seed * 10_000 + number).to_bytes(32, "big"),
            b"s" * 32,
            b"m" * 32,
            b"",
            b"",
        )
        for number in range(count)
    }


def config(g_max, min_group):
    return replace(plan(g_max), min_group=min_group)


def ids_of(roster):
    return [member.advertisement.device_id for member in roster.members]


@given(st.integers(0, 200), st.integers(3, 40), st.integers(2, 20), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_every_device_is_in_one_group_of_an_allowed_size_or_left_out(count, g_max, least, seed):
    least = min(least, g_max)
    drawn = draw_groups(config(g_max, least), advertisements(count, seed))
    grouped = [device_id for roster in drawn.rosters for device_id in ids_of(roster)]
    assert sorted(grouped + list(drawn.left_out)) == sorted(advertisements(count))
    assert all(least <= len(roster.members) <= g_max for roster in drawn.rosters)
    assert all(ids_of(roster) == sorted(ids_of(roster)) for roster in drawn.rosters)


def test_the_order_of_arrival_does_not_matter_and_one_nonce_changes_the_draw():
    advertised = advertisements(60)
    backwards = dict(reversed(advertised.items()))
    drawn = draw_groups(config(20, 3), advertised)
    assert draw_groups(config(20, 3), backwards) == drawn
    advertised["device-0007"] = replace(advertised["device-0007"], nonce=b"\xff" * 32)
    changed = draw_groups(config(20, 3), advertised)
    assert changed.rosters[0].beacon != drawn.rosters[0].beacon
    assert [ids_of(roster) for roster in changed.rosters] != [
        ids_of(roster) for roster in drawn.rosters
    ]


def test_devices_can_verify_their_place_from_the_roster_alone():
    advertised = advertisements(60)
    for roster in draw_groups(config(20, 3), advertised).rosters:
        assert (roster.advertised, roster.groups > 1) == (60, True)
        for member in roster.members:
            device_id = member.advertisement.device_id
            assert merkle.group_of(roster.beacon, device_id, roster.groups) == roster.group
            leaf = merkle.leaf(device_id, member.advertisement.nonce)
            assert merkle.root_of(leaf, member.leaf, 60, member.siblings) == roster.beacon


@pytest.mark.parametrize(("count", "groups"), [(2, 0), (3, 1), (20, 1)])
def test_what_fits_into_one_group_is_one_group_without_proofs(count, groups):
    drawn = draw_groups(config(20, 3), advertisements(count))
    assert len(drawn.rosters) == groups
    assert len(drawn.left_out) == (0 if groups else count)
    assert all(not member.siblings for roster in drawn.rosters for member in roster.members)
