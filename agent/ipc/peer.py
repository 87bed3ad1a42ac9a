"""Asks the kernel who is at the other end of a socket on this computer."""

import os
import socket
import struct
import sys


def is_this_user(peer: socket.socket) -> bool:
    """Return whether the other end runs as this user.

    At a client's end that is whoever called listen(): a name in the file system proves nothing.
    """
    platform: str = sys.platform
    try:
        if platform == "linux":
            credentials = peer.getsockopt(
                socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")
            )
            return bool(struct.unpack("3i", credentials)[1] == os.geteuid())
        if platform == "darwin":
            # SOL_LOCAL, LOCAL_PEERCRED: struct xucred begins with the version and the uid.
            credentials = peer.getsockopt(0, 1, 76)
            return bool(struct.unpack_from("2I", credentials)[1] == os.geteuid())
    except OSError:
        return False
    return False
