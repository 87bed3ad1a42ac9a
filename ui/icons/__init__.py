"""The program's own icons: a shield for each of the seven states, the pages' icons and the logo.

The states differ in shape as well as in colour. Every file is drawn in `currentColor`; the theme
supplies the colour when it is painted.
"""

from importlib import resources

from PySide6.QtCore import QByteArray, QRectF, Qt
from PySide6.QtGui import QIcon, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer

from agent.status import AgentState
from ui.theme import Colours

TRAY_SIZES = (16, 22, 24, 32, 48, 64)


def picture(name: str, colour: str, size: int, ratio: float = 1.0) -> QPixmap:
    """Draw the named icon in one colour; `size` in logical pixels, `ratio` the screen's scale."""
    source = (
        resources.files(__package__)
        .joinpath(f"{name}.svg")
        .read_text("utf-8")
        .replace("currentColor", colour)
    )
    renderer = QSvgRenderer(QByteArray(source.encode()))
    pixels = round(size * ratio)
    result = QPixmap(pixels, pixels)
    result.fill(Qt.GlobalColor.transparent)
    painter = QPainter(result)
    renderer.render(painter, QRectF(0, 0, pixels, pixels))
    painter.end()
    result.setDevicePixelRatio(ratio)
    return result


def icon(name: str, colour: str, sizes: tuple[int, ...] = (16, 20, 24, 32, 40, 48)) -> QIcon:
    """Draw the named icon at every size that a screen may ask for."""
    result = QIcon()
    for size in sizes:
        result.addPixmap(picture(name, colour, size))
    return result


def state_colour(state: AgentState, colours: Colours) -> str:
    match state:
        case AgentState.TRAINING | AgentState.SENDING:
            return colours.accent
        case AgentState.ATTENTION:
            return colours.warning
        case AgentState.ERROR:
            return colours.danger
        case AgentState.OFF | AgentState.PAUSED:
            return colours.muted
        case AgentState.WAITING:
            return colours.text


def state_icon(state: AgentState, colours: Colours) -> QIcon:
    """Draw a state's tray icon in the colours that suit the panel."""
    return icon(f"state-{state.value}", state_colour(state, colours), TRAY_SIZES)
