"""Idle time in a real X server: the moment of the threshold, the next movement, and the server's
end.
"""

import asyncio
import os
import subprocess

import pytest

from agent.conditions.x11 import X11
from tests.fakes.timeouts import TIMEOUT_S

pytestmark = pytest.mark.system
IDLE_S = 2


async def test_idle_input_and_the_end_of_the_server():
    reads, writes = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writes), "-screen", "0", "640x480x24"],
        pass_fds=[writes],
        stderr=subprocess.DEVNULL,
    )
    os.close(writes)
    try:
        with os.fdopen(reads) as told:
            display = f":{(await asyncio.to_thread(told.readline)).strip()}"
        changed = asyncio.Event()
        x11 = X11(display, changed.set)
        x11.open()

        async def change_to(holds):
            async with asyncio.timeout(TIMEOUT_S):
                while not holds():
                    await changed.wait()
                    changed.clear()

        assert x11.idle().source == "X11"
        x11.watch(IDLE_S)
        await change_to(lambda: x11.idle().value >= IDLE_S)
        subprocess.run(
            ["xdotool", "mousemove", "11", "12"],
            env={**os.environ, "DISPLAY": display},
            check=True,
        )
        await change_to(lambda: x11.idle().value < IDLE_S)
        assert x11.full_screen().value is None  # no window manager tells
        server.terminate()
        await change_to(lambda: x11.idle().value is None)
        assert "is gone" in x11.idle().source
        x11.close()
    finally:
        server.kill()
        server.wait()


async def test_a_display_that_is_not_there_is_said():
    x11 = X11(":987", lambda: None)
    x11.open()
    assert "does not answer" in x11.idle().source
    x11.close()
