"""Any t shares give the secret, fewer give nothing, a wrong one does not go unseen; the field is
the one it says.
"""

import contextlib
import os
import random
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.protocol.field import PRIME, evaluate, from_bytes, to_bytes, weights_at_zero
from agent.protocol.sharing import Combiner, commitment, split


def is_prime(n):
    d, r = n - 1, 0
    while d % 2 == 0:
        d, r = d // 2, r + 1
    draw = random.Random(1)
    for _ in range(40):
        x = pow(draw.randrange(2, n - 1), d, n)
        if x in (1, n - 1):
            continue
        for _ in range(r - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


def test_the_prime_is_the_first_above_two_to_the_256():
    assert is_prime(PRIME)
    assert not any(is_prime(2**256 + k) for k in range(1, 297))


@pytest.mark.parametrize(("n", "t"), [(1, 1), (3, 2), (5, 3), (6, 6)])
def test_any_threshold_of_the_shares(n, t):
    secret = os.urandom(32)
    shares = split(secret, t, n, os.urandom)
    for devices in combinations(range(n), t):
        assert Combiner(devices).combine([shares[device] for device in devices]) == secret


@given(st.binary(min_size=32, max_size=32), st.integers(1, 30), st.data())
@settings(max_examples=40, deadline=None)
def test_random_sets(secret, t, data):
    n = data.draw(st.integers(t, 40))
    devices = data.draw(st.permutations(range(n)))[:t]
    shares = split(secret, t, n, os.urandom)
    assert Combiner(devices).combine([shares[device] for device in devices]) == secret


def test_p6_one_share_too_few_is_uniform():
    """t - 1 shares of a fixed secret: their top bytes are as even as random ones."""
    counts = np.bincount(
        [split(bytes(32), 2, 1 + 1, os.urandom)[0][1] for _ in range(5120)], minlength=256
    )
    assert abs(((counts - 20) ** 2 / 20).sum() - 255) < 6 * (2 * 255) ** 0.5


def test_a_wrong_share_gives_another_secret_or_an_error():
    secret = os.urandom(32)
    shares = split(secret, 3, 5, os.urandom)
    wrong = to_bytes((from_bytes(shares[1]) + 1) % PRIME)
    with contextlib.suppress(ValueError):
        assert Combiner([0, 1, 2]).combine([shares[0], wrong, shares[2]]) != secret
    outside = to_bytes(PRIME - 1)
    with pytest.raises(ValueError, match="belong"):
        Combiner([0]).combine([outside])


def test_known_answers():
    """Secret 1, coefficients 2 and 3: 1 + 2x + 3x²."""
    entropy = (2).to_bytes(48, "big") + (3).to_bytes(48, "big")
    shares = split((1).to_bytes(32, "big"), 3, 4, lambda count: entropy[:count])
    assert [from_bytes(share) for share in shares] == [6, 17, 34, 57]
    assert shares[0].hex() == "00" * 32 + "06"
    assert weights_at_zero([1, 2, 3]) == [3, PRIME - 3, 1]
    assert evaluate([PRIME - 1, 1], 1) == 0
    assert (
        commitment(bytes(32), 1, 2, "self", bytes(33)).hex()
        == "d4941b180bc19d27e082063f99e8fbe04abecb08d919c887cc3a3e3326c36c04"
    )
    assert (
        commitment(bytes(32), 1, 2, "pair", bytes(33)).hex()
        == "99de6a76464f41750c7f17ad8d72a08a18ecd0e19bced2809642554932a57ea0"
    )


@pytest.mark.parametrize(
    "bad", [bytes(32), bytes(34), b"\xff" * 33, to_bytes(PRIME - 1)[:-1] + b"\xff"]
)
def test_p11_what_is_not_an_element(bad):
    with pytest.raises(ValueError, match="element"):
        from_bytes(bad)


def test_p11_nonsense_is_refused():
    with pytest.raises(ValueError, match="distinct"):
        Combiner([1, 1])
    with pytest.raises(ValueError, match="one share"):
        Combiner([0, 1]).combine([bytes(33)])
    for secret, t, n in ((bytes(31), 2, 3), (bytes(32), 4, 3), (bytes(32), 0, 3)):
        with pytest.raises(ValueError, match="32 bytes"):
            split(secret, t, n, os.urandom)
