"""The law tests show real windows without a screen, as tests/ui does."""

from tests.ui.conftest import qapp, qtbot, quiet_qt, theme

__all__ = ["qapp", "qtbot", "quiet_qt", "theme"]
