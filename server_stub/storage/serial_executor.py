"""Runs database work one job at a time on a single thread.

1. No two jobs run at once: the database and the current round need no other lock.
2. A short job runs on the event loop itself when nothing else is running: going through the
   thread would cost more than the job.
3. A slow disk or a busy database must not stop the event loop. After a slow short job, further
   short jobs go through the thread for a while. A job that finds the database locked by another
   process, before it has changed anything, is retried in the thread.
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
"""A short job that took longer than this was slow (rule 3)."""
IN_THREAD_S = 10.0
"""How long short jobs go through the thread after a slow one."""
RETRY_S = 0.02
"""How often a job is retried while another process holds the database."""


class SerialExecutor:
    """Call `run` and `run_short` from the event loop."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="database")
        self._lock = threading.Lock()
        self._in_thread_until = 0.0

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        """Run a job in the thread."""
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, self._run_locked, time.monotonic(), function, *arguments
        )

    async def run_short(self, function: Callable[..., T], *arguments: object) -> T:
        """Run a job of well under a millisecond: here if possible, else in the thread."""
        if time.monotonic() < self._in_thread_until or not self._lock.acquire(blocking=False):
            return await self.run(function, *arguments)
        started = time.monotonic()
        try:
            return function(*arguments)
        except OperationalError as error:
            if not is_busy(error):
                raise
        finally:
            self._lock.release()
            if time.monotonic() - started > SLOW_S:
                self._in_thread_until = time.monotonic() + IN_THREAD_S
        return await self.run(function, *arguments)

    def close(self) -> None:
        """Wait for the jobs that were submitted, then end the thread."""
        self._thread.shutdown()

    def _run_locked(self, submitted_s: float, function: Callable[..., T], *arguments: object) -> T:
        """Run a job, retrying while another process holds the database."""
        while True:
            with self._lock:
                try:
                    return function(*arguments)
                except OperationalError as error:
                    waited_s = time.monotonic() - submitted_s
                    if not is_busy(error) or waited_s > BUSY_TIMEOUT_MS / 1000:
                        raise
            time.sleep(RETRY_S)
