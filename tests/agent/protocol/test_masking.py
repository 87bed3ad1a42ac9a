"""Masks cancel in the sum of a group, are the cipher's own bytes, and do not depend on how a vector
is cut.
"""

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol.masking import CHUNK_WORDS, WORDS_A_BLOCK, apply

KEYS = [bytes([number]) * 32 for number in range(1, 6)]


def expanded(key, words, first=0):
    """The mask as AES-256-CTR in one piece gives it."""
    counter = modes.CTR((first // WORDS_A_BLOCK).to_bytes(16, "big"))
    return np.frombuffer(
        Cipher(algorithms.AES256(key), counter).encryptor().update(bytes(4 * words)), "<u4"
    )


def masked(values, add=(), subtract=(), first=0):
    words = np.array(values, np.uint32)
    apply(words, add, subtract, first)
    return words


@pytest.mark.parametrize("length", [0, 1, 5, CHUNK_WORDS - 1, CHUNK_WORDS, 2 * CHUNK_WORDS + 3])
def test_a_mask_is_the_ciphers_key_stream_at_every_length(length):
    assert np.array_equal(masked(np.zeros(length), add=[KEYS[0]]), expanded(KEYS[0], length))


def test_known_answer_of_the_cipher():
    """Block 0 under the zero key is the hash key H of test case 13 of the GCM specification."""
    assert (
        masked(np.zeros(4), add=[bytes(32)]).tobytes().hex() == "dc95c078a2408989ad48a21492842087"
    )


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=40), st.permutations(KEYS))
def test_what_was_added_can_be_taken_off_in_any_order(values, keys):
    words = masked(values, add=KEYS[:3], subtract=KEYS[3:])
    apply(words, [key for key in keys if key in KEYS[3:]], [key for key in keys if key in KEYS[:3]])
    assert words.tolist() == values


def test_the_pair_masks_of_a_group_cancel_and_those_of_a_deceived_device_do_not():
    pairs = {(0, 1): KEYS[0], (0, 2): KEYS[1], (1, 2): KEYS[2]}
    values = [np.arange(10) + device for device in range(3)]

    def total(keys_of):
        summed = np.zeros(10, np.uint32)
        for device in range(3):
            own = keys_of(device)
            add = [own[pair] for pair in own if pair[0] == device]
            subtract = [own[pair] for pair in own if pair[1] == device]
            summed += masked(values[device], add, subtract)
        return summed

    assert total(lambda _: pairs).tolist() == sum(values).tolist()
    deceived = {**pairs, (0, 1): KEYS[4]}
    assert total(lambda device: deceived if device == 1 else pairs).tolist() != sum(values).tolist()


@given(st.integers(0, 6), st.integers(1, 30))
def test_a_piece_of_the_vector_is_masked_as_in_the_whole(blocks, length):
    first = blocks * WORDS_A_BLOCK
    whole = masked(np.zeros(first + length), add=KEYS[:1], subtract=KEYS[1:2])
    assert masked(np.zeros(length), KEYS[:1], KEYS[1:2], first).tolist() == whole[first:].tolist()


def test_without_keys_nothing_changes():
    assert masked([1, 2, 3]).tolist() == [1, 2, 3]
