"""What all pages have in common: what they are built with, and their layout."""

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QDateTime, Qt
from PySide6.QtWidgets import QFrame, QScrollArea, QWidget

from agent.consent.withdrawal import Withdrawal
from agent.ipc.last_cycle import LastCycle
from agent.status import Status
from ui import theme
from ui.agent_client import AgentClient
from ui.presentation.locale_formatter import LocaleFormatter
from ui.presentation.view_model import View
from ui.theme import Theme
from ui.widgets import column, row, step, text

READABLE_STEPS = 210
"""The widest page; longer lines are hard to read."""


@dataclass(frozen=True)
class Context:
    """What every page is built with."""

    client: AgentClient
    formatter: LocaleFormatter
    theme: Theme
    cores: int
    """Processor cores of this computer."""
    withdrawal: Withdrawal
    """The files by which the window withdraws where no agent answers."""
    now: Callable[[], int] = QDateTime.currentSecsSinceEpoch
    """Seconds since the epoch."""
    last_cycle: Callable[[], LastCycle | None] = lambda: None
    """Returns why the last cycle failed or waited, for as long as no agent answers."""


class Page(QScrollArea):
    """A scrolling page; its content keeps a readable width.

    `title` is the page's heading and its name for screen readers; without `has_heading` only the
    latter.
    """

    def __init__(self, name: str, title: str, *, has_heading: bool = True) -> None:
        super().__init__()
        self.setObjectName(name)
        self.setAccessibleName(title)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        canvas = QWidget()
        canvas.setObjectName("canvas")
        across = row(canvas, gap=0)
        content = QWidget()
        content.setMaximumWidth(READABLE_STEPS * step(self))
        across.addWidget(content)
        self.body = column(content, margin=7, gap=4)
        if has_heading:
            self.body.addWidget(text(title, factor=theme.TITLE, bold=True))
        self.setWidget(canvas)

    def show_view(self, view: View, status: Status | None) -> None:
        """Show the latest Status; called while this page is the one in sight."""
        raise NotImplementedError

    def opened(self) -> None:
        """The person has opened this page: the next `show_view` asks the agent anew for what a
        page caches.
        """

    def end(self) -> None:
        """Finish the page: what it holds stays at the top."""
        self.body.addStretch(1)
