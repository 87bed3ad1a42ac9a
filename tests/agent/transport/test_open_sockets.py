"""A cut ends every open socket of a session and forbids new ones until the request ends."""

import socket

import pytest

from agent.transport.open_sockets import OpenSockets


@pytest.fixture
def pair():
    """A connection's socket, and its peer, which does not wait."""
    ours, peer = socket.socketpair()
    peer.setblocking(False)
    with ours, peer:
        yield ours, peer


def is_ended(peer):
    try:
        return peer.recv(1) == b""
    except BlockingIOError:
        return False


def test_a_cut_ends_both_directions(pair):
    ours, peer = pair
    sockets = OpenSockets()
    with sockets.add(ours):
        assert not is_ended(peer)
        sockets.cut(permanently=False)
        assert is_ended(peer)
        assert ours.recv(1) == b""


def test_a_closed_connection_can_be_cut_until_the_request_ends(pair):
    ours, peer = pair
    sockets = OpenSockets()
    duplicate = sockets.add(ours)
    ours.close()
    sockets.mark_closed(duplicate)
    assert not is_ended(peer)
    sockets.cut(permanently=False)
    assert is_ended(peer)
    sockets.end_request()


def test_the_end_of_a_request_releases_closed_connections(pair):
    ours, peer = pair
    sockets = OpenSockets()
    duplicate = sockets.add(ours)
    ours.close()
    sockets.mark_closed(duplicate)
    sockets.end_request()
    assert is_ended(peer)


@pytest.mark.parametrize("permanently", [False, True])
def test_after_a_cut_no_socket_is_added_until_the_request_ends_or_ever(pair, permanently):
    sockets = OpenSockets()
    sockets.cut(permanently=permanently)
    sockets.cut(permanently=False)  # a later cut takes nothing back
    for refused in (sockets.check, lambda: sockets.add(pair[0])):
        with pytest.raises(ConnectionAbortedError):
            refused()
    sockets.end_request()
    if permanently:
        with pytest.raises(ConnectionAbortedError):
            sockets.check()
    else:
        sockets.add(pair[0]).close()


def test_a_connection_closed_after_a_permanent_cut_is_released_at_once(pair):
    sockets = OpenSockets()
    duplicate = sockets.add(pair[0])
    sockets.cut(permanently=True)
    sockets.mark_closed(duplicate)
    assert duplicate.fileno() == -1
