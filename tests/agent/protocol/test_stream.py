"""The stream is AES-256-CTR to the letter, whatever the chunks; keys of different purposes have
nothing to do with each other.
"""

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from agent.protocol.keys import derive
from agent.protocol.stream import Stream


def test_it_is_aes_256_in_counter_mode():
    key = bytes(range(32))
    expected = (
        Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor().update(bytes(300_000))
    )
    stream = Stream(key)
    drawn = (
        stream.words64(5).tobytes() + stream.bytes8(7).tobytes() + stream.words64(35_000).tobytes()
    )
    assert drawn == expected[: len(drawn)]
    # NIST SP 800-38A F.5.5 uses another counter block; this one is the first block of a zero
    # counter, frozen.
    assert expected[:16].hex() == "f29000b62a499fd0a9f39a6add2e7780"


def test_labels_known_answers():
    """HKDF-SHA256 (RFC 5869) with the label as info."""
    assert derive(bytes(32), b"noise").hex() == KNOWN["noise"]
    assert derive(bytes(32), b"round").hex() == KNOWN["round"]
    assert derive(bytes(32), b"noise", b"salt").hex() == KNOWN["salted"]


KNOWN = {
    "noise": "c76af9ffa8744bcaf18bb82864f3e90a443a9109fd89a2d7ad62f371d863d5be",
    "round": "9c26e2223f950a1d88777219296f9966c6ade861d4d47cad3a0261e7543eb551",
    "salted": "66442a42459994ff754cb666b08af0ca660be1eefa6fce260b30129baf6de892",
}


def test_one_bit_of_difference_gives_an_unrelated_stream():
    """No folding of the key into fewer bits: each of its 256 bits changes half of the stream."""
    base = Stream(bytes(32)).bytes8(4096)
    for bit in range(256):
        key = bytearray(32)
        key[bit // 8] ^= 1 << bit % 8
        differing = np.unpackbits(base ^ Stream(bytes(key)).bytes8(4096)).mean()
        assert abs(differing - 0.5) < 6 * 0.5 / (4096 * 8) ** 0.5


def test_a_short_key_is_refused():
    with pytest.raises(ValueError, match="32 bytes"):
        Stream(bytes(16))
