"""One device, and whole fleets around one aggregator."""

import asyncio
import time

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.device import Device
from tests.fakes.in_process_fleet import InProcessFleet


@pytest.fixture
def device(tmp_path):
    device = Device(tmp_path)
    yield device
    device.close()


@pytest.fixture
def fleet(tmp_path):
    fleet = InProcessFleet(tmp_path)
    yield fleet
    fleet.close()


@pytest.fixture
def fleet_of_four(tmp_path):
    fleet = InProcessFleet(tmp_path, 4)
    yield fleet
    fleet.close()


@pytest.fixture
def slept():
    """The sleeps of `timed_fleet`, in seconds."""
    return []


@pytest.fixture
def timed_fleet(tmp_path, slept):
    """A fleet whose sleeps pass at once on its clock."""
    clock = FakeClock(int(time.time()))

    async def sleep(seconds):
        slept.append(seconds)
        clock.ticks += seconds
        await asyncio.sleep(0.001)

    fleet = InProcessFleet(tmp_path, clock=clock, sleep=sleep)
    yield fleet
    fleet.close()
