"""A simulated device has no conditions: everything is allowed and nothing is read."""

import asyncio

import pytest

from agent.conditions.interface import NoConditions


async def test_no_conditions_allow_everything_and_read_nothing():
    conditions = NoConditions()
    await conditions.poll()
    assert (conditions.may_train(), conditions.may_send(), conditions.readings()) == ((), (), ())
    assert (conditions.note(), conditions.cpu_percent()) == ("", None)


async def test_a_watch_without_conditions_lasts_until_it_is_cancelled():
    watch = asyncio.create_task(NoConditions().watch(lambda: None))
    await asyncio.sleep(0)
    assert not watch.done()
    watch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watch
