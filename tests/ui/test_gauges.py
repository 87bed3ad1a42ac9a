"""Meter and sparkline: what they paint and what they say to a screen reader."""

import pytest
from PySide6.QtCore import QRectF, Qt

from ui.gauges import NEARLY_FULL, Meter, Sparkline
from ui.theme import DARK, LIGHT


def painted(meter, colour):
    """Which columns of the meter's middle row have a colour."""
    image = meter.grab().toImage()
    middle = image.height() // 2
    return [x for x in range(image.width()) if image.pixelColor(x, middle).name() == colour]


@pytest.fixture
def meter(qapp):
    meter = Meter(LIGHT, "Used")
    meter.resize(100, 8)
    return meter


def test_a_meter_is_filled_from_the_left_by_its_share(meter):
    meter.show_share(0.5, "half")
    columns = painted(meter, LIGHT.accent)
    assert columns[0] < 5
    assert 45 <= columns[-1] <= 50
    assert (meter.accessibleName(), meter.accessibleDescription()) == ("Used", "half")


def test_right_to_left_it_is_filled_from_the_right(meter):
    meter.setLayoutDirection(Qt.LayoutDirection.RightToLeft)
    meter.show_share(0.5, "half")
    assert painted(meter, LIGHT.accent)[-1] > 90


@pytest.mark.parametrize(
    ("share", "colour"), [(NEARLY_FULL - 0.01, LIGHT.accent), (NEARLY_FULL, LIGHT.warning)]
)
def test_nearly_full_it_warns(meter, share, colour):
    meter.show_share(share, "")
    assert painted(meter, colour)


def test_nothing_is_painted_for_zero_and_no_more_than_all_for_two(meter):
    meter.show_share(0.0, "")
    assert painted(meter, LIGHT.accent) == []
    meter.show_share(2.0, "")
    assert painted(meter, LIGHT.warning)[-1] > 90


def test_it_takes_the_colours_of_a_new_scheme(meter):
    meter.show_share(0.5, "")
    meter.use(DARK)
    assert painted(meter, DARK.accent)


AREA = QRectF(0, 0, 100, 10)


def points(values):
    line = Sparkline(LIGHT, "Sent")
    line.show_values(values, "")
    return [(point.x(), point.y()) for point in line.points(AREA)]


def test_a_sparkline_runs_from_left_to_right_and_its_largest_value_is_at_the_top(qapp):
    assert points([0, 5, 10]) == [(0, 10), (50, 5), (100, 0)]


def test_values_of_zero_lie_at_the_bottom(qapp):
    assert points([0, 0]) == [(0, 10), (100, 10)]


def test_a_single_value_is_a_point(qapp):
    assert points([3]) == [(0, 0)]


def test_a_sparkline_without_values_paints_nothing(qapp):
    line = Sparkline(LIGHT, "Sent")
    line.resize(60, 20)
    before = line.grab().toImage()
    line.show_values([1, 2], "two values")
    assert line.grab().toImage() != before
    line.show_values([], "")
    assert line.grab().toImage() == before
