"""Who is at the other end of a socket."""

import os
import socket

from agent.ipc.peer import is_this_user


def test_the_kernel_says_which_user_is_at_the_other_end(monkeypatch):
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        assert is_this_user(one)
        uid = os.geteuid()
        monkeypatch.setattr("os.geteuid", lambda: uid + 1)
        assert not is_this_user(one)


def test_what_is_no_socket_of_this_computer_is_nobody():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert not is_this_user(listener)
