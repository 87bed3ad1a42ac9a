"""The window: a sidebar on the left and one page at a time on the right.

It runs in a process of its own, which ends when the window is closed.
"""

from collections.abc import Callable

from PySide6.QtCore import QSize, Signal
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import QHBoxLayout, QMainWindow, QStackedWidget, QWidget

from agent.consent.notice import Decision
from agent.errors import AegisError
from agent.status import Status
from ui.consent_dialog import ConsentDialog
from ui.consent_flow import ConsentFlow
from ui.icons import icon
from ui.pages.about import AboutPage
from ui.pages.activity import ActivityPage
from ui.pages.done import DonePage
from ui.pages.join import JoinPage
from ui.pages.limits import LimitsPage
from ui.pages.overview import OverviewPage
from ui.pages.page import Context, Page
from ui.pages.privacy import PrivacyPage
from ui.pages.scan import ScanPage
from ui.pages.sent import SentPage
from ui.presentation.view_model import view_of
from ui.sidebar import Sidebar
from ui.widgets import ErrorBanner, column, step


class Window(QMainWindow):
    """Builds each page when it is first shown. Emits `closed` when the person closes the window."""

    closed = Signal()

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self._client = context.client
        self._consent = ConsentFlow(context.client, context.withdrawal, self)
        self._consent.decided.connect(self._decided)
        self._consent.failed.connect(self.show_error)
        self._consent.stopped.connect(self.show_error)
        self._consent.stopped.connect(lambda _: self._show(self._client.status))
        self._pages: dict[str, Page] = {}
        self._is_first_run = False
        self.setObjectName("window")
        self.setWindowTitle("AegisAI")
        self.setWindowIcon(icon("aegisai", "", (16, 32, 48, 64, 128)))
        self._build()
        self.resize(self._first_size())
        context.client.statusChanged.connect(self._show)
        context.client.connectedChanged.connect(
            lambda connected: None if connected else self._show(None)
        )
        context.client.callFailed.connect(self.show_error)
        context.theme.changed.connect(self._repaint)
        self.open_page("overview")
        self.setFocus()

    @property
    def dialog(self) -> ConsentDialog | None:
        """The consent dialog while it is open."""
        return self._consent.dialog

    @property
    def page(self) -> str:
        """The name of the page that is shown."""
        return self._page

    def open_page(self, name: str) -> None:
        """Show a page by its name.

        `consent` opens the question instead; an unknown name opens the overview.
        """
        if name == "consent":
            self.ask()
            return
        name = name if name in self._makers() else "overview"
        if name not in self._pages:
            self._pages[name] = self._makers()[name]()
            self._stack.addWidget(self._pages[name])
        self._page = name
        self._stack.setCurrentWidget(self._pages[name])
        self._sidebar.select(name)
        self._error.hide()
        self._pages[name].opened()
        self._show(self._client.status)

    def open_setting(self, key: str) -> None:
        """Show the limits and put the focus on one setting."""
        self.open_page("limits")
        if isinstance(limits := self._pages["limits"], LimitsPage):
            limits.reveal(key)

    def ask(self) -> None:
        """Ask the consent question, or raise it when it is open already."""
        self._consent.ask()

    def show_error(self, error: AegisError | str) -> None:
        """Show an error with its remedy, or another message, at the top of the window."""
        self._error.show_message(str(error))

    def sizeHint(self) -> QSize:
        return self._first_size()

    def closeEvent(self, event: QCloseEvent) -> None:
        self._consent.close()
        super().closeEvent(event)
        self.closed.emit()

    def _first_size(self) -> QSize:
        unit = step(self)
        room = self.screen().availableGeometry().size() if self.screen() else QSize(1280, 800)
        return QSize(min(240 * unit, room.width()), min(190 * unit, room.height() - 8 * unit))

    def _makers(self) -> dict[str, Callable[[], Page]]:
        return {
            "overview": self._make_overview,
            "privacy": self._make_privacy,
            "sent": lambda: SentPage(self._context),
            "limits": lambda: LimitsPage(self._context),
            "activity": lambda: ActivityPage(self._context),
            "scan": lambda: ScanPage(self._context),
            "about": lambda: AboutPage(self._context),
            "join": self._make_join,
            "done": self._make_done,
        }

    def _make_overview(self) -> Page:
        page = OverviewPage(self._context)
        page.decideRequested.connect(self.ask)
        page.joinRequested.connect(lambda: self.open_page("join"))
        page.settingRequested.connect(self.open_setting)
        page.pageRequested.connect(self.open_page)
        return page

    def _make_privacy(self) -> Page:
        page = PrivacyPage(self._context)
        page.decideRequested.connect(self.ask)
        page.withdrawRequested.connect(self._consent.withdraw)
        page.joinRequested.connect(lambda: self.open_page("join"))
        return page

    def _make_join(self) -> Page:
        page = JoinPage(self._context)
        page.joined.connect(self._joined)
        page.skipped.connect(lambda: self.open_page("overview"))
        return page

    def _make_done(self) -> Page:
        page = DonePage(self._context)
        page.pageRequested.connect(self.open_page)
        return page

    def _joined(self) -> None:
        self._is_first_run = True
        self.open_page("overview")
        self.ask()

    def _decided(self, decision: Decision) -> None:
        """Close the first run with the page that says what the answer means."""
        if self._is_first_run and decision is not Decision.DISMISSED:
            self.open_page("done")
        self._is_first_run = False

    def _build(self) -> None:
        canvas = QWidget()
        canvas.setObjectName("canvas")
        across = QHBoxLayout(canvas)
        across.setContentsMargins(0, 0, 0, 0)
        across.setSpacing(0)
        self._sidebar = Sidebar(self)
        self._sidebar.pageChosen.connect(self.open_page)
        across.addWidget(self._sidebar)
        main = QWidget()
        down = column(main, gap=0)
        self._error = ErrorBanner()
        down.addWidget(self._error)
        self._stack = QStackedWidget()
        down.addWidget(self._stack, 1)
        across.addWidget(main, 1)
        self.setCentralWidget(canvas)

    def _repaint(self) -> None:
        self._sidebar.use(self._context.theme.colours)

    def _show(self, status: Status | None) -> None:
        """Show a Status on the current page; the icons follow its place in the sidebar."""
        self._repaint()
        last = self._context.last_cycle() if status is None else None
        view = view_of(
            status,
            self._context.formatter,
            last.reasons if last else (),
            may_contribute=status is None and self._context.withdrawal.may_hold(),
        )
        self._pages[self._page].show_view(view, status)
