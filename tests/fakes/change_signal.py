"""Waits for a state that changes by signals, without polling it."""

import asyncio

from tests.fakes.timeouts import TIMEOUT_S


class ChangeSignal:
    """Pass `set` as the callback that reports a change."""

    def __init__(self):
        self._event = asyncio.Event()

    def set(self):
        self._event.set()

    async def until(self, condition):
        """Wait for the change after which `condition()` is true."""
        async with asyncio.timeout(TIMEOUT_S):
            while not condition():
                await self._event.wait()
                self._event.clear()
