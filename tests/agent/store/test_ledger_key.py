"""Seals chain every charge under one key, and each use of the key has its own label."""

import hashlib
import hmac

from hypothesis import given
from hypothesis import strategies as st

from agent.store.ledger_key import LedgerKey, Origin

KEY = LedgerKey(bytes(range(32)))
ORIGIN = Origin(1000, 0)


def mac(message):
    return hmac.new(bytes(range(32)), message, hashlib.sha256).hexdigest()


def test_the_bytes_under_each_seal_are_frozen():
    first = mac(b'origin\0{"sealed_at":1000,"unsealed":0}')
    assert KEY.first(ORIGIN) == first
    assert KEY.next(first, b"{}") == mac(b"charge\0" + bytes.fromhex(first) + b"{}")
    assert KEY.tag(1, first) == mac(b'head\0[1,"' + first.encode() + b'"]')


def test_the_seals_of_a_ledger_follow_each_other():
    seals = KEY.seals(ORIGIN, [b"one", b"two"])
    assert seals[0] == KEY.first(ORIGIN)
    assert seals[1:] == [KEY.next(seals[0], b"one"), KEY.next(seals[1], b"two")]


@given(st.lists(st.binary(max_size=20), max_size=4), st.lists(st.binary(max_size=20), max_size=4))
def test_p4_two_ledgers_never_have_the_same_seal(one, other):
    assert (KEY.seals(ORIGIN, one)[-1] == KEY.seals(ORIGIN, other)[-1]) == (one == other)


def test_p4_another_key_or_another_beginning_gives_other_seals():
    other = LedgerKey(bytes(32))
    assert other.first(ORIGIN) != KEY.first(ORIGIN)
    assert KEY.first(Origin(1000, 1)) != KEY.first(ORIGIN) != KEY.first(Origin(1001, 0))


def test_p12_the_key_is_not_in_its_description():
    assert bytes(range(32)).hex() not in repr(KEY)
    assert "secret" not in repr(KEY)
