"""Whose turn it is: the database and the present round are touched by one job at a time, in a
thread beside the event loop.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from sqlite3 import OperationalError
from typing import TypeVar

from server_stub.storage.database import BUSY_TIMEOUT_MS, is_busy

T = TypeVar("T")
SLOW_S = 0.01
"""A short job that took longer met a slow disk or a busy machine …"""
LOOK_S = 0.02
"""How often a database that another process is writing to is looked at."""
TIMEOUT_S = 10.0
"""… and for so long the next ones go through the thread, so that the event loop goes on answering
others."""


class SerialExecutor:
    """Call `run` and `run_short` from the event loop."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="database")
        self._turn = threading.Lock()
        self._patient_until = 0.0

    async def run(self, function: Callable[..., T], *values: object) -> T:
        """Run a job in the thread."""
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, self._in_turn, time.monotonic(), function, *values
        )

    async def run_short(self, function: Callable[..., T], *values: object) -> T:
        """Run a job of well under a millisecond: here, unless another has the turn. The way through
        the thread would cost more than it.

        A job that finds the database held by another process, before it did anything, is done again
        in the thread.
        """
        if time.monotonic() < self._patient_until or not self._turn.acquire(blocking=False):
            return await self.run(function, *values)
        started = time.monotonic()
        try:
            return function(*values)
        except OperationalError as error:
            if not is_busy(error):
                raise
        finally:
            self._turn.release()
            if time.monotonic() - started > SLOW_S:
                self._patient_until = time.monotonic() + TIMEOUT_S
        return await self.run(function, *values)

    def close(self) -> None:
        """Wait for what is under way."""
        self._thread.shutdown()

    def _in_turn(self, asked_s: float, function: Callable[..., T], *values: object) -> T:
        while True:
            with self._turn:
                try:
                    return function(*values)
                except OperationalError as error:
                    if not is_busy(error) or time.monotonic() > asked_s + BUSY_TIMEOUT_MS / 1000:
                        raise
            time.sleep(LOOK_S)
