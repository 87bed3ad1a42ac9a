"""The pages of the window.

Each shows values and asks the agent through the link; none decides anything.
"""

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QDateTime

from ui.agent_client import AgentClient
from ui.presentation.locale_formatter import LocaleFormatter
from ui.theme import Theme


@dataclass(frozen=True)
class Context:
    """What every page is built with."""

    client: AgentClient
    words: LocaleFormatter
    theme: Theme
    cores: int
    """Processor cores of this computer."""
    now: Callable[[], int] = QDateTime.currentSecsSinceEpoch
    """Seconds since the epoch."""
