"""The benchmark of a device's round runs, so that a change of the fakes cannot break it unseen."""

import pytest

from tests.bench.device_round import measured


@pytest.mark.system
def test_one_device_of_a_group_is_measured_to_the_end_of_its_round():
    figures = measured(width=20, size=40)
    assert set(figures) == {"cpu_ms", "wall_s", "up", "down"}
    assert all(value > 0 for value in figures.values())
