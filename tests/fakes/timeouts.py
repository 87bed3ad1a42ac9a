"""How long a test waits for other processes: generously, because a busy machine must not fail it.

No test sleeps for these times: each continues as soon as it has what it waits for.
"""

import asyncio
import itertools
import os
import socket
import time

TIMEOUT_S = 120.0
"""For a process to start, to answer or to end."""
CYCLE_TIMEOUT_S = 420.0
"""For a whole cycle: it may first wait five minutes for the machine's training slot, which another
test has."""
POLL_S = 0.02
TICK_S = 0.01
FIRST_PORT, LAST_PORT = 20_000, 32_000
"""Below the range that the kernel gives to connections, so that none gets the port between its
choice and its use."""


def until(found, seconds=TIMEOUT_S, what="it", poll_s=POLL_S):
    """Call `found` until its value is true, and return that."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(poll_s)
    return value


async def within(seconds, awaitable):
    """Return the result of `awaitable`, which must finish before this loop has run for `seconds`.

    Time that other programs took from this one does not count.
    """
    task = asyncio.ensure_future(awaitable)
    for _ in range(round(seconds / TICK_S)):
        if task.done():
            break
        await asyncio.sleep(TICK_S)
    assert task.done(), f"it took longer than {seconds:g} s"
    return await task


_PORTS = itertools.count(FIRST_PORT + os.getpid() * 7919 % (LAST_PORT - FIRST_PORT - 1000))


def free_port():
    """Return a free port of loopback that no other test of this process has received."""
    for port in itertools.islice(_PORTS, 100):
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
    raise AssertionError("no port of loopback is free")
