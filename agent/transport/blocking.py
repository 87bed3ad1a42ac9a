"""Runs blocking calls (network, keyring, disk) off the event loop."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

T = TypeVar("T")

THREADS = 2


class Blocking(Protocol):
    """Runs a blocking call off the event loop."""

    def __call__(self, call: Callable[[], T]) -> Awaitable[T]: ...


class BlockingPool:
    """A small thread pool for the blocking calls of one agent."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="blocking")

    async def run(self, call: Callable[[], T]) -> T:
        """Return what `call` returns, or raise what it raises."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    def close(self, *, wait: bool = False) -> None:
        """Drop the calls that have not begun and wait for none, or `wait` for all."""
        self._executor.shutdown(wait=wait, cancel_futures=not wait)
