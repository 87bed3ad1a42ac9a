"""Long vectors are unmasked in stretches side by side; the sum is the same to the last word."""

import os

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.protocol.keys import self_key, self_secret_digest
from agent.protocol.masking import apply
from agent.protocol.sharing import split
from server_stub.secagg import unmasking
from server_stub.secagg.unmasking import FalseDealersError, Opening


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_p6_any_number_of_threads_removes_the_same_masks(threads, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: threads)
    words = np.arange(3 * unmasking.SINGLE_THREAD_BELOW_WORDS + 5, dtype=np.uint32)
    secrets, opening, shares = dealt(3)
    apply(
        words,
        [self_key(secret, opening.context, number) for number, secret in enumerate(secrets)],
        [],
    )
    unmasking.unmask(words, opening, shares)
    assert words.tolist() == list(range(3 * unmasking.SINGLE_THREAD_BELOW_WORDS + 5))


def test_a_false_secret_is_the_fault_of_its_dealer():
    _, opening, shares = dealt(3)
    for giver in shares:
        shares[giver][1] = split(bytes(32), 2, 3, lambda count: bytes(count))[giver]
    with pytest.raises(FalseDealersError) as raised:
        unmasking.unmask(np.zeros(4, np.uint32), opening, shares)
    assert raised.value.dealers == (1,)


def dealt(n):
    secrets, context = [os.urandom(32) for _ in range(n)], os.urandom(32)
    public = [
        X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
        for secret in secrets
    ]
    digests = {number: self_secret_digest(context, secret) for number, secret in enumerate(secrets)}
    everybody = frozenset(range(n))
    split_up = [split(secret, 2, n, os.urandom) for secret in secrets]
    shares = {giver: {dealer: split_up[dealer][giver] for dealer in range(n)} for giver in range(2)}
    return (
        secrets,
        Opening(context, "00" * 32, "11" * 32, public, digests, everybody, everybody),
        shares,
    )
