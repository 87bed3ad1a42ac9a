"""How long a test waits for other processes: generously, because a busy machine must not fail it.

What comes is gone on with at once.
"""

import asyncio
import itertools
import os
import socket
import time

TIMEOUT_S = 120.0
"""For whatever needs a process to start, to answer or to end."""
CYCLE_TIMEOUT_S = 420.0
"""For a whole pass: it may first wait five minutes for the machine's one right to train, which a
neighbouring test holds."""
POLL_S = 0.02
TICK_S = 0.01
FIRST_PORT, LAST_PORT = 20_000, 32_000
"""Below what the kernel gives to connections, so that nobody gets the port between a choice and its
use."""


def until(found, seconds=TIMEOUT_S, what="it", poll_s=POLL_S):
    """What `found()` returns, once that is true."""
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, f"{what} did not come within {seconds:.0f} s"
        time.sleep(poll_s)
    return value


async def within(seconds, awaitable):
    """Its result, which has to come while this loop could run for `seconds`: what other programs
    took of that time does not count.
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
    """A port of loopback that nobody listens on, and that no other test of this process was
    told.
    """
    for port in itertools.islice(_PORTS, 100):
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
    raise AssertionError("no port of loopback is free")
