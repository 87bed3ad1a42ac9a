"""A device's first message of a kind counts: the same again is a repeat, another is an error."""

import pytest

from agent.errors import PeerError
from server_stub.secagg.message_log import MessageLog


def test_a_repeat_is_recognised_and_a_different_message_is_refused():
    log = MessageLog()
    assert not log.is_repeat("shares", "one", b"body")
    log.record("shares", "one", b"body")
    assert log.is_repeat("shares", "one", b"body")
    assert (log.has("shares", "one"), log.has("shares", "two")) == (True, False)
    with pytest.raises(PeerError) as raised:
        log.is_repeat("shares", "one", b"other")
    assert raised.value.code == "ALREADY_CONTRIBUTED"
    assert not log.is_repeat("masked", "one", b"other")
    assert not log.is_repeat("shares", "two", b"other")


def test_a_removed_message_may_be_replaced_and_removing_nothing_is_fine():
    log = MessageLog()
    log.record("shares", "one", b"body")
    log.remove("shares", "one")
    log.remove("shares", "two")
    assert not log.has("shares", "one")
    assert not log.is_repeat("shares", "one", b"other")
