"""The icons: every state differs in shape, every file is drawn in the theme's colour."""

from importlib import resources

import pytest
from PySide6.QtGui import QColor

from agent.status import AgentState
from ui.icons import TRAY_SIZES, picture, state_colour, state_icon
from ui.theme import DARK, LIGHT

FILES = sorted(
    entry.name.removesuffix(".svg")
    for entry in resources.files("ui.icons").iterdir()
    if entry.name.endswith(".svg")
)


def opaque(image):
    return [
        image.pixelColor(x, y)
        for y in range(image.height())
        for x in range(image.width())
        if image.pixelColor(x, y).alpha() == 255
    ]


@pytest.mark.parametrize("name", FILES)
def test_every_file_draws_something(qapp, name):
    assert opaque(picture(name, "#000000", 32).toImage())


@pytest.mark.parametrize("state", AgentState)
def test_a_state_is_drawn_in_its_colour(qapp, state):
    colour = state_colour(state, LIGHT)
    image = picture(f"state-{state.value}", colour, 48).toImage()
    assert QColor(colour).rgb() in {pixel.rgb() for pixel in opaque(image)}


def test_a_picture_has_the_pixels_of_its_screen(qapp):
    shown = picture("aegisai", "", 20, 2.0)
    assert (shown.width(), shown.devicePixelRatio()) == (40, 2.0)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_states_differ_in_shape_and_exist_in_every_size(qapp, colours):
    shapes = set()
    for state in AgentState:
        drawn = state_icon(state, colours)
        assert {size.width() for size in drawn.availableSizes()} == set(TRAY_SIZES)
        image = drawn.pixmap(16, 16).toImage()
        shapes.add(
            tuple(image.pixelColor(x, y).alpha() > 127 for y in range(16) for x in range(16))
        )
    assert len(shapes) == len(AgentState)
