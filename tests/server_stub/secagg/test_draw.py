"""The aggregator's draw puts every device into exactly one group or leaves it out."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.protocol import codec
from agent.protocol.witness import Witnessed
from server_stub.secagg.draw import draw_groups, leaves_of
from tests.fakes.secagg import plan

SEED = Witnessed(b"s" * 32, b"w" * 64)


def advertisements(count, seed=0):
    """Advertisements with nonces that follow from `seed`; nothing in a draw is verified."""
    return {
        f"device-{number:04d}": codec.Advertisement(
            f"device-{number:04d}",
            (seed * 10_000 + number).to_bytes(32, "big"),
            b"s" * 32,
            b"m" * 32,
            b"w" * 64,
            b"certificate",
        )
        for number in range(count)
    }


def config(g_max, min_group):
    return replace(plan(g_max), min_group=min_group)


def ids_of(roster):
    return [member.device_id for member in roster.members]


@given(st.integers(0, 200), st.integers(3, 40), st.integers(2, 20), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_every_device_is_in_one_group_of_an_allowed_size_or_left_out(count, g_max, least, seed):
    least = min(least, g_max)
    drawn = draw_groups(config(g_max, least), advertisements(count, seed), SEED)
    grouped = [device_id for roster in drawn.rosters for device_id in ids_of(roster)]
    assert sorted(grouped + list(drawn.left_out)) == sorted(advertisements(count))
    sizes = [len(roster.members) for roster in drawn.rosters]
    assert all(least <= size <= g_max for size in sizes)
    assert not sizes or max(sizes) - min(sizes) <= 1
    assert all(ids_of(roster) == sorted(ids_of(roster)) for roster in drawn.rosters)
    assert bool(sizes) == (count >= least)


def test_the_order_of_arrival_does_not_matter_and_each_nonce_and_the_seed_change_the_draw():
    advertised = advertisements(60)
    backwards = dict(reversed(advertised.items()))
    drawn = draw_groups(config(20, 3), advertised, SEED)
    assert draw_groups(config(20, 3), backwards, SEED) == drawn
    changed = dict(advertised)
    changed["device-0007"] = replace(advertised["device-0007"], nonce=b"\xff" * 32)
    others = [
        draw_groups(config(20, 3), changed, SEED),
        draw_groups(config(20, 3), advertised, replace(SEED, seed=b"t" * 32)),
    ]
    for other in others:
        assert other.rosters[0].draw.beacon != drawn.rosters[0].draw.beacon
        assert list(map(ids_of, other.rosters)) != list(map(ids_of, drawn.rosters))


def test_every_roster_carries_the_whole_list_and_the_witnesss_answer():
    advertised = advertisements(60)
    for number, roster in enumerate(draw_groups(config(20, 3), advertised, SEED).rosters):
        assert (roster.group, roster.witnessed) == (number, SEED)
        assert roster.leaves == leaves_of(advertised) == tuple(sorted(roster.leaves))
