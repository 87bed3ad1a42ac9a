"""Devices of one town."""

import pytest

from tests.fakes.in_process_fleet import InProcessFleet


@pytest.fixture
def town(tmp_path):
    town = InProcessFleet(tmp_path)
    yield town
    town.close()


@pytest.fixture
def town_of_four(tmp_path):
    town = InProcessFleet(tmp_path, 4)
    yield town
    town.close()
