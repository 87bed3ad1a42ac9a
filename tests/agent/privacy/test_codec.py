"""An update's way into words and back: bounds that hold exactly, means that are right, sums that
are refused.
"""

import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import InternalError, PeerError
from agent.privacy import codec
from agent.privacy.plan import headroom, plan_local, plan_secagg
from agent.privacy.zcdp import sent_words
from agent.protocol.messages import Mode, Task
from agent.protocol.packing import pack
from agent.protocol.stream import Stream
from tests.fakes.rounds import round_identity


def make(d=116, mode=Mode.LOCAL, rho=2**38, *, identity=None, **sizes):
    task = Task("t", "s", "logistic", d, mode, 10, 100, 1000, 1)
    if mode is Mode.LOCAL:
        return plan_local(task, identity or round_identity(), rho_units_per_round=rho)
    return plan_secagg(task, identity or round_identity(), rho_units_per_round=rho, **sizes)


@given(st.integers(1, 300), st.integers(-300, 300), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_p7_the_integer_bound_holds_for_every_vector(d, exponent, seed):
    config = make(d)
    vector = np.random.default_rng(seed).standard_t(1.5, d) * 10.0**exponent
    vector = np.clip(vector, -1e300, 1e300)
    rounded = codec.quantise(vector, config, Stream(os.urandom(32)))
    assert rounded.dtype == np.int64
    assert sum(int(value) ** 2 for value in rounded) <= config.sensitivity_sq


@pytest.mark.parametrize("d", [1, 2, 116, 2048, 2049, 10_000])
def test_rotation_is_orthonormal_and_turns_back(d):
    config = make(d)
    vector = np.random.default_rng(d).normal(size=d)
    wide = codec.rotate(vector, config)
    assert wide @ wide == pytest.approx(vector @ vector)
    assert codec.rotate_back(wide, config) == pytest.approx(vector)


def test_rotation_spreads_one_large_coordinate():
    vector = np.zeros(2000)
    vector[7] = 1.0
    assert np.abs(codec.rotate(vector, make(2000))).max() == pytest.approx(2048**-0.5)


def test_rounding_is_unbiased():
    config = make(64)
    vector = codec.clip(np.random.default_rng(1).normal(size=64), 1.0)
    sums = np.zeros(64)
    for _ in range(2000):
        sums += codec.quantise(vector, config, Stream(os.urandom(32)))
    mean = codec.decode_sum((sums * 1).astype(np.int64), config, 2000)
    assert np.abs(mean - vector).max() < 6 * float(config.grid) * 0.5 / 2000**0.5


def rounded_until_it_holds(vector, config, stream):
    """The definition: round again until the bound holds. Also returns the number of roundings."""
    units = codec.rotate(codec.clip(vector, float(config.clip)), config) / float(config.grid)
    for count in range(1, 100):
        words = stream.words64(len(units))
        rounded = np.floor(units + (words >> np.uint64(11)) * 2.0**-53).astype(np.int64)
        if int(rounded @ rounded) <= config.sensitivity_sq:
            return rounded, count
    raise AssertionError("it never holds")


@pytest.mark.parametrize("d", [2, 4, 16])
def test_two_roundings_give_what_rounding_until_it_holds_gives(d):
    """For the same stream of random words it is the same result, so its distribution is the same,
    exactly. The cases include first, second and later roundings.
    """
    config, counts = make(d, rho=2**34), set()
    # Just inside the bound, where a rounding often lies outside.
    tight = replace(config, sensitivity_sq=int((config.clip / config.grid) ** 2))
    for seed in range(300):
        vector = np.random.default_rng(seed).normal(size=d)
        expected, count = rounded_until_it_holds(vector, tight, Stream(seed.to_bytes(32, "big")))
        counts.add(min(count, 3))
        found = codec.quantise(vector, tight, Stream(seed.to_bytes(32, "big")))
        assert found.tolist() == expected.tolist()
    assert counts == {1, 2, 3}


@pytest.mark.parametrize("scale", [0.0, 1e-3, 1.0])
def test_a_zero_and_a_clipped_update_take_two_roundings_alike(scale, monkeypatch):
    config, drawn = make(1000), []
    fill = Stream.fill
    monkeypatch.setattr(Stream, "fill", lambda stream, out: (drawn.append(1), fill(stream, out))[1])
    vector = np.full(1000, scale)
    taken = []
    for _ in range(100):
        drawn.clear()
        codec.quantise(vector, config, Stream(os.urandom(32)))
        taken.append(len(drawn))
    # One fill for each rounding and one for the signs of the rotation; two more are rare.
    assert taken.count(3) >= 90


@pytest.mark.parametrize("count", [80, 100])
def test_p7_noise_of_a_decoded_sum_is_the_planned_one(count):
    """At full survival and at the minimum: the ratio of variances stays within four standard
    errors.
    """
    config = make(1000, Mode.SECAGG, 2**40 // 327, g_max=100, min_sum=80)
    rng = np.random.default_rng(count)
    total, truth = np.zeros(config.d_padded, np.uint32), np.zeros(1000)
    for _ in range(count):
        vector = codec.clip(rng.normal(size=1000), 1.0)
        total += codec.encode_update(vector, config, os.urandom(32))
        truth += vector
    error = codec.decode_sum(total, config, count) - truth / count
    ratio = float(np.mean(error**2)) / codec.noise_sd(config, count) ** 2
    rounding = 1 + 0.25 / config.noise_var
    assert abs(ratio / rounding - 1) < 4 * (2 / 1000) ** 0.5


def test_local_updates_add_up_in_any_number():
    config = make(116, rho=2**40 // 3)
    vector = codec.clip(np.ones(116), 1.0)
    total = np.zeros(sent_words(config), np.int64)
    for _ in range(3000):
        total += codec.read_update(
            pack(codec.encode_update(vector, config, os.urandom(32)), config.bits), config
        )
    mean = codec.decode_sum(total, config, 3000)
    assert np.abs(mean - vector).max() < 6 * codec.noise_sd(config, 3000)


def test_a_shared_subset_is_unbiased_and_smaller():
    errors = np.zeros(200)
    for draw in range(300):
        config = make(200, identity=round_identity(subset_k=64, subset_seed=f"{draw:064x}"))
        assert len(codec.subset(config)) == 64
        words = codec.encode_update(np.ones(200) / 200**0.5, config, os.urandom(32))
        assert words.shape == (64,)
        errors += codec.decode_sum(words, config, 1) - 1 / 200**0.5
    assert np.abs(errors / 300).max() < 6 * codec.noise_sd(config, 1) / 300**0.5 + 0.05


@pytest.mark.parametrize("bits", [16, 20, 24, 32])
def test_wrap_around_at_the_edges(bits):
    edge = 1 << (bits - 1)
    values = np.array([-edge, -edge + 1, -1, 0, 1, edge - 1])
    words = codec.to_words(values, bits)
    assert codec.signed(words, bits).tolist() == values.tolist()
    doubled = (words + words).astype(np.uint32)
    assert codec.signed(doubled, bits).tolist() == [0, 2, -2, 0, 2, -2]


def test_p11_a_sum_out_of_range_is_refused():
    config = make(64)
    words = np.zeros(64, np.uint32)
    words[3] = headroom(config, 1)
    codec.decode_sum(words, config, 1)
    words[3] += 1
    with pytest.raises(PeerError) as raised:
        codec.decode_sum(words, config, 1)
    assert raised.value.code == "SUM_OUT_OF_RANGE"


@pytest.mark.parametrize(("shape", "count"), [((63,), 1), ((64,), 0), ((64, 1), 1)])
def test_p11_a_sum_of_another_shape_is_refused(shape, count):
    with pytest.raises(PeerError) as raised:
        codec.decode_sum(np.zeros(shape, np.uint32), make(64), count)
    assert raised.value.code == "WRONG_SHAPE"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_p11_a_vector_that_is_not_finite_is_never_sealed(bad):
    with pytest.raises(InternalError) as raised:
        codec.encode_update(np.array([1.0] * 63 + [bad]), make(64), bytes(32))
    assert raised.value.code == "NOT_FINITE"


def test_a_vector_of_another_length_and_an_impossible_bound():
    with pytest.raises(InternalError):
        codec.encode_update(np.zeros(63), make(64), bytes(32))
    with pytest.raises(InternalError) as raised:
        codec.encode_update(np.ones(64), replace(make(64), sensitivity_sq=1), bytes(32))
    assert raised.value.code == "SENSITIVITY"


@pytest.mark.parametrize(
    ("length", "wanted"), [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0), (7.0, 1.0), (1e200, 1.0)]
)
def test_clipping(length, wanted):
    vector = np.ones(16) / 4 * length
    assert np.linalg.norm(codec.clip(vector, 1.0)) == pytest.approx(wanted)


def test_the_bytes_are_the_same_on_every_machine():
    config = make(116)
    words = codec.encode_update(np.linspace(-0.1, 0.1, 116), config, bytes(range(32)))
    assert pack(words, config.bits)[:16].hex() == "86ffbfff2600e6ff5500ceff5600fcff"
