"""Packing is exact at every width, the same bytes everywhere, and refuses what is not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import PeerError
from agent.protocol.packing import pack, packed_bytes, unpack

KNOWN = {16: "2301efbe", 20: "2301f0eedb", 24: "230100efbead", 32: "23010000efbeadde"}


@given(
    st.sampled_from([16, 20, 24, 32]), st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=50)
)
def test_there_and_back(bits, values):
    words = np.array(values, np.uint32)
    packed = pack(words, bits)
    assert len(packed) == packed_bytes(len(words), bits)
    assert unpack(packed, bits, len(words)).tolist() == [value % 2**bits for value in values]


@pytest.mark.parametrize("bits", KNOWN)
def test_known_bytes(bits):
    assert pack(np.array([0x123, 0xDEADBEEF], np.uint32), bits).hex() == KNOWN[bits]


@pytest.mark.parametrize(
    ("content", "count"),
    [(b"", 1), (bytes(4), 1), (bytes(6), 1), (b"\0\0\xf0\0\0", 1), (b"\0\0\0\0\1", 1)],
)
def test_p11_wrong_length_or_padding(content, count):
    with pytest.raises(PeerError) as raised:
        unpack(content, 20, count)
    assert raised.value.code == "WRONG_SHAPE"


def test_other_widths_are_refused():
    with pytest.raises(ValueError, match="bits"):
        pack(np.zeros(1, np.uint32), 8)
    with pytest.raises(ValueError, match="bits"):
        unpack(bytes(1), 8, 1)
