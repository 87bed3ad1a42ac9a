"""The sampler against known answers, against an exact slow sampler, against OpenDP, and against the
distribution itself.
"""

import json
import math
import random
from bisect import bisect_right
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.privacy.noise import (
    LEAST_OVERLAP,
    SPLIT_FROM,
    TABLE_BITS,
    cumulative,
    in_parts,
    parts,
    sample,
    table,
)
from agent.protocol.keys import derive
from agent.protocol.limits import MAX_NOISE_UNITS
from agent.protocol.stream import Stream
from tests.fakes.exact_gaussian import ExactGaussian


@pytest.mark.parametrize(
    ("noise_var", "k", "known"),
    [
        (1, 0, 0x662114C625DCF1A1FC08D67B),
        (1, 1, 0xE204AAF3D33038CFAD4E0445),
        (100, 0, 0x0A368214BB48ED0539847E86),
        (100, 10, 0xB4DC1455333DF2A782BCF48E),
        (10000, 100, 0xAF630D5C89EB5E1DFE2B8E38),
    ],
)
def test_known_answers(noise_var, k, known):
    assert cumulative(noise_var, 96)[k] == known


@pytest.mark.parametrize("noise_var", [1, 9, 1000])
def test_the_table_is_exact_to_its_last_bit(noise_var):
    """Against 80 digits of decimal arithmetic."""
    entries = cumulative(noise_var)
    with localcontext() as context:
        context.prec = 80
        weights = [
            (-Decimal(k * k) / (2 * noise_var)).exp()
            for k in range(40 * math.isqrt(noise_var) + 40)
        ]
        total = 2 * sum(weights) - 1
        reached = Decimal(0)
        for k, entry in enumerate(entries[:-1]):
            reached += weights[k] if k == 0 else 2 * weights[k]
            assert abs(Decimal(entry) - reached / total * 2**TABLE_BITS) <= 2
    assert entries == sorted(entries)


def chi_square(counts, expected):
    """z-score of Pearson's statistic over bins that expect at least 20."""
    keep = expected >= 20
    rest, rest_expected = counts[~keep].sum(), expected[~keep].sum()
    statistic = ((counts[keep] - expected[keep]) ** 2 / expected[keep]).sum()
    degrees = keep.sum() - 1
    if rest_expected >= 20:
        statistic += (rest - rest_expected) ** 2 / rest_expected
        degrees += 1
    return (statistic - degrees) / math.sqrt(2 * degrees)


def distribution(noise_var, reach):
    k = np.arange(-reach, reach + 1)
    weights = np.exp(-(k.astype(float) ** 2) / (2 * noise_var))
    return weights / weights.sum()


@pytest.mark.parametrize("sigma", [1, 3, 10, 100])
def test_p7_the_samples_have_the_distribution(sigma):
    count, reach = 2_000_000, 9 * sigma
    drawn = sample(count, sigma**2, Stream(derive(b"chi-square", str(sigma).encode())))
    assert np.abs(drawn).max() <= reach
    counts = np.bincount(drawn + reach, minlength=2 * reach + 1)
    assert abs(chi_square(counts, distribution(sigma**2, reach) * count)) < 4.5


@pytest.mark.parametrize("noise_var", [1, 10])
def test_p7_the_exact_slow_sampler_agrees(noise_var):
    """Two samples, one test: the slow one is right by construction."""
    slow = ExactGaussian(random.Random(7))
    exact = np.array([slow.draw(noise_var) for _ in range(20_000)])
    fast = sample(20_000, noise_var, Stream(derive(b"two-sample", str(noise_var).encode())))
    reach = 30
    one, two = (
        np.bincount(np.clip(drawn, -reach, reach) + reach, minlength=2 * reach + 1)
        for drawn in (exact, fast)
    )
    both = (one + two) >= 40
    statistic = ((one - two) ** 2 / np.maximum(one + two, 1))[both].sum()
    degrees = both.sum() - 1
    assert abs(statistic - degrees) / math.sqrt(2 * degrees) < 4.5


OPENDP = json.loads((Path(__file__).parent / "opendp.json").read_text())["sigmas"]
"""Histograms of 200,000 draws by OpenDP 0.16, recorded by tests/bench/peers/opendp_gaussian.py (265
MB installed: too much here)."""


@pytest.mark.parametrize("sigma", [1, 3, 10, 100])
def test_p7_opendp_draws_from_the_same_distribution(sigma):
    """Two samples, one test; and what OpenDP drew fits the formula that both are held to."""
    recorded, count, reach = OPENDP[str(sigma)], 200_000, 9 * sigma
    theirs = np.zeros(2 * reach + 1, np.int64)
    theirs[recorded["least"] + reach :][: len(recorded["counts"])] = recorded["counts"]
    assert theirs.sum() == count
    assert abs(chi_square(theirs, distribution(sigma**2, reach) * count)) < 4.5
    drawn = sample(count, sigma**2, Stream(derive(b"opendp", str(sigma).encode())))
    ours = np.bincount(drawn + reach, minlength=2 * reach + 1)
    both = (ours + theirs) >= 40
    statistic = ((ours - theirs) ** 2 / np.maximum(ours + theirs, 1))[both].sum()
    assert abs(statistic - both.sum() + 1) / math.sqrt(2 * (both.sum() - 1)) < 4.5


class Scripted:
    """A stream that gives the words it is told to."""

    def __init__(self, upper, lower=(), signs=0):
        self.upper, self.lower, self.signs = upper, list(lower), signs

    def fill(self, words):
        words[:] = self.upper if words.dtype == np.uint64 else self.signs

    def words64(self, count):
        return np.array([self.lower.pop(0) for _ in range(count)], np.uint64)


@pytest.mark.parametrize("noise_var", [9, SPLIT_FROM - 1])
def test_every_entry_is_reached_at_its_exact_edge(noise_var):
    """The answer to u is the number of entries <= u, to the last of the 128 bits."""
    entries = cumulative(noise_var)
    for k in range(0, len(entries) - 1, max(1, len(entries) // 200)):
        for u in entries[k] - 1, entries[k]:
            upper, lower = u >> 64, u & (2**64 - 1)
            assert sample(1, noise_var, Scripted(upper, [lower])).tolist() == [
                bisect_right(entries, u)
            ]


def test_the_ends_of_the_range_and_the_sign():
    last = len(table(9).high) - 1
    assert sample(2, 9, Scripted(2**64 - 1, [2**64 - 1] * 2)).tolist() == [last, last]
    assert sample(1, 9, Scripted(2**64 - 1, [2**64 - 1], signs=255)).tolist() == [-last]
    assert sample(1, 9, Scripted(0)).tolist() == [0]


def test_the_same_key_gives_the_same_noise_across_chunks():
    key = bytes(range(32))
    drawn = sample(40_000, 10_000, Stream(key))
    assert drawn.tolist() == sample(40_000, 10_000, Stream(key)).tolist()
    assert drawn[:8].tolist() == [133, 68, 163, -30, -113, 84, 23, 44]


@pytest.mark.parametrize("noise_var", [0, 8193**2])
def test_out_of_range(noise_var):
    with pytest.raises(ValueError, match="variance"):
        cumulative(noise_var)


def test_p7_noise_is_made_of_integers():
    """No float array comes near the sampler: every array it holds or returns is of integers."""
    entries = table(100)
    assert {
        entries.high.dtype.kind,
        entries.low.dtype.kind,
        entries.guide.dtype.kind,
        sample(3, 100, Stream(bytes(32))).dtype.kind,
    } <= {"i", "u"}


@given(st.integers(SPLIT_FROM, MAX_NOISE_UNITS**2))
def test_p7_two_small_tables_make_the_variance_exactly_and_overlap_enough(noise_var):
    step, fine, coarse = parts(noise_var)
    assert fine + step * step * coarse == noise_var
    assert fine * coarse >= LEAST_OVERLAP * noise_var
    assert 14 * (math.isqrt(fine) + math.isqrt(coarse)) < 5500


def test_p7_two_parts_have_the_distribution_of_one_to_2_to_the_minus_115():
    """Exact, with integers: the convolution of the two tables against the one table that they
    replace.
    """
    step, fine, coarse = parts(SPLIT_FROM)
    one, two, exact = (chances(variance) for variance in (fine, coarse, SPLIT_FROM))
    reached = {}
    for k, chance in two.items():
        for j, other in one.items():
            reached[step * k + j] = reached.get(step * k + j, 0) + chance * other
    scale = 1 << TABLE_BITS
    distance = sum(
        abs(reached.get(x, 0) - exact.get(x, 0) * scale) for x in reached.keys() | exact.keys()
    )
    assert distance < 2 ** (2 * TABLE_BITS - 115)


def chances(noise_var):
    """2¹²⁸·P(X = k) by k."""
    entries = [0, *cumulative(noise_var)]
    sizes = [high - low for low, high in pairwise(entries)]
    return {0: sizes[0]} | {
        sign * k: size // 2 for k, size in enumerate(sizes) if k for sign in (1, -1)
    }


def test_p7_samples_in_two_parts_have_the_distribution():
    sigma, stream = 1000, Stream(derive(b"chi-square", b"two parts"))
    assert in_parts(100_000, sigma**2)
    drawn = np.concatenate([sample(100_000, sigma**2, stream) for _ in range(10)])
    reach = 9 * sigma
    counts = np.bincount(drawn + reach, minlength=2 * reach + 1)
    assert abs(chi_square(counts, distribution(sigma**2, reach) * len(drawn))) < 4.5
    assert not in_parts(10**6, sigma**2)


@pytest.mark.parametrize(("s", "bound"), [(10, 138), (316, 132), (511, 131)])
def test_what_lies_beyond_the_table_is_as_small_as_the_text_says(s, bound):
    """The last entry has P(X = k) < 2⁻¹³⁸; all beyond it have more than that together."""
    last = len(cumulative(s * s)) - 1
    # 400 fractional bits: exp(-k²/(2 s²)) from k - 1 to k is a factor, exact to a few units.
    weights = [_weight(k, s) for k in range(last + 1 + 2 * s)]
    total = weights[0] + 2 * sum(weights[1:])
    beyond = 2 * sum(weights[last + 1 :])
    assert weights[last] * 2**138 <= total
    assert beyond * 2**bound < total < beyond * 2 ** (bound + 1)


def _weight(k, s):
    with localcontext(prec=120):
        return Fraction((-Decimal(k * k) / (2 * s * s)).exp())
