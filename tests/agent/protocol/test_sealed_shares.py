"""Whoever has the secret opens exactly what was sealed for this route, and sees any change."""

import os
from dataclasses import replace

import pytest

from agent.protocol import codec
from agent.protocol.field import PRIME, to_bytes
from agent.protocol.sealed_shares import commitments, open_shares, seal_shares

SECRET, CONTEXT = os.urandom(32), os.urandom(32)
SELF, PAIR = to_bytes(5), to_bytes(PRIME - 1)


def sealed(self_share=SELF, pair_share=PAIR):
    return seal_shares(SECRET, CONTEXT, 1, 2, self_share, pair_share)


def test_both_shares_come_back():
    piece = sealed()
    assert len(piece.sealed) == codec.SEALED_SHARES_BYTES
    assert open_shares(SECRET, CONTEXT, 1, 2, piece) == (SELF, PAIR)
    assert (piece.self_commitment, piece.pair_commitment) == commitments(CONTEXT, 1, 2, SELF, PAIR)


@pytest.mark.parametrize("part", ["sealed", "self_commitment", "pair_commitment"])
def test_a_changed_part_is_seen(part):
    piece = sealed()
    content = getattr(piece, part)
    changed = replace(piece, **{part: bytes([content[0] ^ 1]) + content[1:]})
    with pytest.raises(ValueError, match="shares"):
        open_shares(SECRET, CONTEXT, 1, 2, changed)


@pytest.mark.parametrize(
    "route",
    [(bytes(32), CONTEXT, 1, 2), (SECRET, bytes(32), 1, 2), (SECRET, CONTEXT, 2, 1)],
)
def test_another_secret_context_or_route_opens_nothing(route):
    with pytest.raises(ValueError, match="decrypt"):
        open_shares(*route, sealed())


@pytest.mark.parametrize("place", [0, 1])
def test_a_share_outside_the_field_is_refused_although_it_matches_its_commitment(place):
    """Otherwise it would be found when the sum is opened, after everybody has paid."""
    shares = [SELF, PAIR]
    shares[place] = to_bytes(PRIME)
    with pytest.raises(ValueError, match="element"):
        open_shares(SECRET, CONTEXT, 1, 2, sealed(*shares))
