"""Work that must not stop half-way when the task that asked for it is cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_UNDER_WAY: set["asyncio.Future[Any]"] = set()
"""Kept here because the event loop references tasks only weakly."""


async def run_to_completion(job: Coroutine[Any, Any, T]) -> T:
    """Run all of `job`, even when the caller is cancelled meanwhile.

    A withdrawal, say, does not stop half-way because a window closed.
    """
    task = asyncio.ensure_future(job)
    _UNDER_WAY.add(task)
    task.add_done_callback(_UNDER_WAY.discard)
    return await asyncio.shield(task)
