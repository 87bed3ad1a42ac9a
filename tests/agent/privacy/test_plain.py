"""The plain path: small, exact about what it leaves behind, refused when it is not what it says,
and never taken for a private update.
"""

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import InternalError, PeerError
from agent.privacy import plain
from agent.privacy.plan import plan_local
from agent.protocol import envelope
from agent.protocol.messages import Mode, Task
from server_stub.rounds.update_checks import check_update
from tests.fakes.rounds import round_identity


@given(st.integers(1, 300), st.integers(0, 2**32), st.integers(-200, 200), st.data())
@settings(max_examples=60, deadline=None)
def test_what_is_sent_and_what_stays_behind_make_the_whole(d, seed, exponent, data):
    k = data.draw(st.integers(1, d))
    draw = np.random.default_rng(seed)
    update, left = draw.standard_t(2, d) * 10.0**exponent, draw.normal(size=d) * 10.0**exponent
    body, behind = plain.compress(update, left, k)
    sent = plain.expand(body, d)
    scale = np.abs(update + left).max()
    assert np.abs(sent + behind - update - left).max() <= 1e-14 * scale
    assert np.count_nonzero(sent) <= k
    assert np.abs(behind[sent != 0]).max(initial=0) <= scale / 127 / 2 * (1 + 1e-9)
    assert np.abs((update + left)[sent == 0]).max(initial=0) <= max(
        np.sort(np.abs(update + left))[-k], scale / 254
    ) * (1 + 1e-9)


def test_error_feedback_brings_everything_over_in_time():
    """The mean of what arrives comes to the update itself, although a tenth is sent each time."""
    update, left, arrived = np.random.default_rng(1).normal(size=200), np.zeros(200), np.zeros(200)
    for _ in range(400):
        body, left = plain.compress(update, left, 20)
        arrived += plain.expand(body, 200)
    assert np.abs(arrived / 400 - update).max() < 0.1
    assert np.abs(arrived + left - 400 * update).max() < 1e-9


def test_it_is_small():
    body, _ = plain.compress(np.random.default_rng(1).normal(size=100_000), np.zeros(100_000), 1000)
    assert len(body) < 2600


def test_frozen():
    body, _ = plain.compress(np.array([0.0, -1.27, 0.5, 0.0, 1.0]), np.zeros(5), 3)
    assert plain.expand(body, 5).tolist() == pytest.approx([0, -1.27, 0.5, 0, 1.0])
    unpacked = zstandard.ZstdDecompressor().decompress(envelope.decode(body).payload)
    assert unpacked.hex() == "7b14ae47e17a843f" + "010001" + "000000" * 3 + "813264"


def test_nothing_to_send_is_sent_as_zeros():
    body, behind = plain.compress(np.zeros(5), np.zeros(5), 2)
    assert plain.expand(body, 5).tolist() == behind.tolist() == [0.0] * 5


def test_p6_no_round_takes_it():
    config = plan_local(
        Task("t", "s", "logistic", 5, Mode.LOCAL, 10, 100, 1000, 1),
        round_identity(),
        rho_units_per_round=2**36,
    )
    body, _ = plain.compress(np.ones(5), np.zeros(5), 2)
    with pytest.raises(PeerError):
        check_update(envelope.decode(body), config)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_p11_values_that_are_not_numbers_are_not_sent(bad):
    with pytest.raises(InternalError) as raised:
        plain.compress(np.array([1.0, bad]), np.zeros(2), 1)
    assert raised.value.code == "NOT_FINITE"
    for k in (0, 3):
        with pytest.raises(ValueError, match="k: expected"):
            plain.compress(np.ones(2), np.zeros(2), k)


def packed(content, k=1, d=4, **header):
    return envelope.encode({"kind": plain.KIND, "d": d, "k": k, **header}, content)


def scaled(scale, place=0, step=1):
    return zstandard.ZstdCompressor().compress(
        np.array([scale], "<f8").tobytes() + place.to_bytes(4, "little") + bytes([step])
    )


BAD = {
    "nothing": packed(b""),
    "not compressed": packed(bytes(13)),
    "short": packed(zstandard.ZstdCompressor().compress(bytes(12))),
    "long": packed(zstandard.ZstdCompressor().compress(bytes(14))),
    "a bomb": packed(zstandard.ZstdCompressor().compress(bytes(1 << 26))),
    "a place outside": packed(scaled(1.0, place=4)),
    "a far place": packed(scaled(1.0, place=2**32 - 1)),
    "scale nan": packed(scaled(np.nan)),
    "scale infinite": packed(scaled(np.inf)),
    "scale too large": packed(scaled(1.7e308)),
    "scale negative": packed(scaled(-1.0)),
    "another size": packed(scaled(1.0), d=5),
    "k too large": packed(scaled(1.0), k=5),
    "k no number": packed(scaled(1.0), k="1"),
    "another field": packed(scaled(1.0), more=1),
    "no envelope": b"AEG1",
}


@pytest.mark.parametrize("name", BAD)
def test_p11_what_is_not_a_plain_update_is_refused(name):
    with pytest.raises(PeerError):
        plain.expand(BAD[name], 4)
    assert plain.expand(packed(scaled(1.0)), 4).tolist() == [1.0, 0, 0, 0]
