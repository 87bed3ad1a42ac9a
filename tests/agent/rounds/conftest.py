"""One device, and whole fleets around one aggregator."""

import pytest

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
