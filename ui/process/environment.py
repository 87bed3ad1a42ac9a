"""What both processes need of their surroundings: the home, a display and Qt's application."""

import os
import sys
from pathlib import Path

from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication

from agent.errors import UserActionError
from agent.paths import Home, default_home


def chosen_home(option: str | None) -> Home:
    """The home named on the command line, else the default; absolute, because processes that we
    start have another working directory.
    """
    return Home((Path(option) if option else default_home(os.environ)).absolute())


def require_display() -> None:
    """Raise UserActionError when there is no display; Qt would abort the process instead."""
    if (
        sys.platform != "linux"
        or os.environ.get("QT_QPA_PLATFORM")
        or os.environ.get("DISPLAY")
        or os.environ.get("WAYLAND_DISPLAY")
    ):
        return
    raise UserActionError(
        "NO_DISPLAY", "There is no display.", "Use the commands instead: aegis --help."
    )


def make_application(name: str) -> QApplication:
    app = QApplication([name])
    app.setApplicationName("AegisAI")
    app.setApplicationDisplayName("AegisAI")
    QGuiApplication.setDesktopFileName("aegisai")
    return app
