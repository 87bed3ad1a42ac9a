"""Finishes work that must not stop half-way when its caller is cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_UNDER_WAY: set["asyncio.Future[Any]"] = set()
"""Kept here because the event loop references tasks only weakly."""


async def run_to_completion(job: Coroutine[Any, Any, T]) -> T:
    """Run `job` to its end, even when the caller is cancelled meanwhile.

    A withdrawal, for example, must not stop half-way because the person closed the window.
    """
    task = asyncio.ensure_future(job)
    _UNDER_WAY.add(task)
    task.add_done_callback(_UNDER_WAY.discard)
    return await asyncio.shield(task)
