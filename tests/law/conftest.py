"""The law tests show real windows without a screen, as tests/ui does."""

from tests.ui.conftest import qapp, quiet_qt, theme

__all__ = ["qapp", "quiet_qt", "theme"]
