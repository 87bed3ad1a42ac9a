"""Colours, type scale and spacing."""

from itertools import product

import pytest
from PySide6.QtGui import QColor, QFont, QPalette

from tests.ui.measure import MIN_CONTRAST
from ui import theme as themes
from ui.theme import DARK, LIGHT

MIN_CONTROL_CONTRAST = 3.0
"""WCAG 2.2, 1.4.11, for the borders of controls."""
SCHEMES = pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])


def luminance(colour):
    """Relative luminance (WCAG)."""
    channels = QColor(colour).redF(), QColor(colour).greenF(), QColor(colour).blueF()
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@SCHEMES
def test_every_text_colour_is_legible_on_window_and_surface(colours):
    texts = ("text", "muted", "accent", "good", "warning", "danger")
    pale = [
        (name, ground)
        for name, ground in product(texts, ("window", "surface"))
        if contrast(getattr(colours, name), getattr(colours, ground)) < MIN_CONTRAST
    ]
    assert pale == []
    assert contrast(colours.on_accent, colours.accent) >= MIN_CONTRAST


@SCHEMES
def test_the_borders_of_controls_stand_out(colours):
    assert contrast(colours.control, colours.surface) >= MIN_CONTROL_CONTRAST


def test_a_switch_renews_the_palette_and_then_announces_itself(qapp, theme, qtbot):
    grounds = []
    theme.changed.connect(
        lambda: grounds.append(qapp.palette().color(QPalette.ColorRole.Window).name())
    )
    theme.use(dark=True)
    theme.use(dark=False)
    assert grounds == [DARK.window, LIGHT.window]
    assert not theme.is_dark
    assert theme.colours is LIGHT


def test_spacing_grows_with_the_font(qapp):
    small, large = QFont("DejaVu Sans", 9), QFont("DejaVu Sans", 24)
    assert themes.unit(large) > 2 * themes.unit(small)
    assert themes.unit(QFont("DejaVu Sans", 1)) == 4


def test_a_font_in_pixels_scales_as_one_in_points(qapp):
    points, pixels = QFont("DejaVu Sans", 10), QFont("DejaVu Sans")
    pixels.setPixelSize(20)
    assert themes.scaled(points, 1.5).pointSizeF() == 15
    assert themes.scaled(pixels, 1.5).pixelSize() == 30
    assert themes.scaled(points, 1.0, bold=True).weight() == QFont.Weight.DemiBold


@SCHEMES
def test_the_style_sheet_has_no_empty_value(colours):
    sheet = themes.style_sheet(colours, 4)
    assert sheet.count("{") == sheet.count("}")
    assert ": ;" not in sheet
    assert "None" not in sheet
