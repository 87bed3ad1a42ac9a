"""The window: pages on the right, their names on the left.

A process of its own that ends when it is closed.
"""

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QSize, Signal
from PySide6.QtGui import QCloseEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QButtonGroup,
    QFrame,
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QPushButton,
    QStackedWidget,
    QWidget,
)

from agent.consent.notice import Decision, Notice, OperatorFacts
from agent.errors import AegisError
from agent.status import Status
from ui import theme
from ui.consent_dialog import ConsentDialog
from ui.i18n import notice_locale
from ui.icons import icon, picture
from ui.pages import Context
from ui.pages.about import AboutPage
from ui.pages.activity import ActivityPage
from ui.pages.done import DonePage
from ui.pages.join import JoinPage
from ui.pages.limits import LimitsPage
from ui.pages.overview import OverviewPage
from ui.pages.privacy import SURFACE, PrivacyPage
from ui.pages.scan import ScanPage
from ui.pages.sent import SentPage
from ui.presentation.view_model import view_of
from ui.widgets import Page, button, column, row, step, text


class Window(QMainWindow):
    """Builds a page when it is first shown. `closed` comes when the person closes it."""

    closed = Signal()

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self._client = context.client
        self._pages: dict[str, Any] = {}
        self._dialog: ConsentDialog | None = None
        self._is_first_run = False
        self._names = {
            "overview": self.tr("Overview"),
            "privacy": self.tr("Privacy"),
            "sent": self.tr("Sent"),
            "limits": self.tr("Limits"),
            "activity": self.tr("Activity"),
            "scan": self.tr("Scan"),
            "about": self.tr("About"),
        }
        self.setObjectName("window")
        self.setWindowTitle("AegisAI")
        self.setWindowIcon(icon("aegisai", "", (16, 32, 48, 64, 128)))
        self._build()
        self.resize(self._first_size())
        context.client.statusChanged.connect(self._status_changed)
        context.client.connectedChanged.connect(
            lambda connected: None if connected else self._status_changed(None)
        )
        context.client.callFailed.connect(self.show_error)
        context.theme.changed.connect(self._repaint)
        self.open_page("overview")
        self.setFocus()

    @property
    def dialog(self) -> ConsentDialog | None:
        """The consent dialog while it is open."""
        return self._dialog

    @property
    def page(self) -> str:
        return self._page

    def open_page(self, name: str) -> None:
        """Show a page by its name; `consent` opens the question, an unknown name the overview."""
        if name == "consent":
            self.ask()
            return
        name = name if name in self._makers() else "overview"
        if name not in self._pages:
            self._pages[name] = self._makers()[name]()
            self._stack.addWidget(self._pages[name])
        self._page = name
        self._stack.setCurrentWidget(self._pages[name])
        for each in self._nav.buttons():
            each.setChecked(each.objectName() == f"nav-{name}")
        self._error.hide()
        self._pages[name].opened()
        self._show(self._client.status)

    def ask(self) -> None:
        """Fetch the notice and show the question; a question that is open already is raised, never
        answered.
        """
        if self._dialog is not None:
            self._dialog.raise_()
            self._dialog.activateWindow()
            return
        self._client.call(
            "consent.show", {"locale": notice_locale()}, self._show_question, self.show_error
        )

    def show_error(self, error: AegisError) -> None:
        """One sentence and its remedy at the top of the window."""
        self._error_text.setText(str(error))
        self._error.show()

    def sizeHint(self) -> QSize:
        return self._first_size()

    def closeEvent(self, event: QCloseEvent) -> None:
        if self._dialog is not None:
            self._dialog.close()
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
        page.decideWanted.connect(self.ask)
        page.joinWanted.connect(lambda: self.open_page("join"))
        page.settingWanted.connect(self._open_setting)
        page.pageWanted.connect(self.open_page)
        return page

    def _make_privacy(self) -> Page:
        page = PrivacyPage(self._context)
        page.decideWanted.connect(self.ask)
        page.joinWanted.connect(lambda: self.open_page("join"))
        return page

    def _make_join(self) -> Page:
        page = JoinPage(self._context)
        page.joined.connect(self._joined)
        page.skipped.connect(lambda: self.open_page("overview"))
        return page

    def _make_done(self) -> Page:
        page = DonePage(self._context)
        page.pageWanted.connect(self.open_page)
        return page

    def _open_setting(self, key: str) -> None:
        self.open_page("limits")
        self._pages["limits"].reveal(key)

    def _joined(self) -> None:
        self._is_first_run = True
        self.open_page("overview")
        self.ask()

    def _build(self) -> None:
        whole = QWidget()
        whole.setObjectName("canvas")
        across = QHBoxLayout(whole)
        across.setContentsMargins(0, 0, 0, 0)
        across.setSpacing(0)
        across.addWidget(self._sidebar())
        main = QWidget()
        down = column(main, gap=0)
        self._error = QFrame()
        self._error.setProperty("banner", True)
        self._error.setObjectName("error")
        inside = row(self._error)
        inside.setContentsMargins(4 * step(self), 2 * step(self), 4 * step(self), 2 * step(self))
        self._error_text = text("")
        self._error_text.setObjectName("errorText")
        dismiss = button(self.tr("Dismiss"), "dismissError", "link")
        dismiss.clicked.connect(self._error.hide)
        inside.addWidget(self._error_text, 1)
        inside.addWidget(dismiss)
        self._error.hide()
        down.addWidget(self._error)
        self._stack = QStackedWidget()
        down.addWidget(self._stack, 1)
        across.addWidget(main, 1)
        self.setCentralWidget(whole)

    def _sidebar(self) -> QWidget:
        side = QFrame()
        side.setObjectName("sidebar")
        inside = column(side, margin=3, gap=1)
        brand = row(of=self, gap=2)
        logo = QLabel()
        logo.setPixmap(picture("aegisai", "", 7 * step(self), 2.0))
        logo.setAccessibleName("AegisAI")
        brand.addWidget(logo)
        brand.addWidget(text("AegisAI", factor=theme.HEADING, bold=True), 1)
        brand.setContentsMargins(2 * step(self), 2 * step(self), step(self), 4 * step(self))
        inside.addLayout(brand)
        self._nav = QButtonGroup(self)
        self._nav.setExclusive(True)
        for place, name in enumerate(self._names):
            inside.addWidget(self._nav_button(name, place))
        inside.addStretch(1)
        side.setFixedWidth(max(52 * step(self), side.sizeHint().width()))
        return side

    def _nav_button(self, name: str, place: int) -> QPushButton:
        result = button(self._names[name], f"nav-{name}", "nav")
        result.setCheckable(True)
        result.setIconSize(QSize(5 * step(self), 5 * step(self)))
        result.clicked.connect(lambda: self.open_page(name))
        self._nav.addButton(result)
        shortcut = QShortcut(QKeySequence(f"Ctrl+{place + 1}"), self)
        shortcut.activated.connect(lambda: self.open_page(name))
        return result

    def _repaint(self) -> None:
        colours = self._context.theme.colours
        for each in self._nav.buttons():
            name = each.objectName().removeprefix("nav-")
            each.setIcon(
                icon(f"page-{name}", colours.accent if name == self._page else colours.muted)
            )

    def _status_changed(self, status: Status | None) -> None:
        self._show(status)

    def _show(self, status: Status | None) -> None:
        self._repaint()
        view = view_of(status, self._context.words)
        self._pages[self._page].show_view(view, status)

    def _show_question(self, answer: dict[str, Any]) -> None:
        notice = notice_of(answer)
        dialog = self._dialog = ConsentDialog(notice, self)
        dialog.decided.connect(lambda decision: self._decided(notice, decision))
        dialog.exampleWanted.connect(
            lambda: self._client.call(
                "preview",
                {},
                dialog.show_example,
                lambda error: dialog.show_example_failed(str(error)),
            )
        )
        dialog.finished.connect(dialog.deleteLater)
        dialog.show()

    def _decided(self, notice: Notice, decision: Decision) -> None:
        self._dialog = None
        if self._is_first_run and decision is not Decision.DISMISSED:
            self.open_page("done")
        self._is_first_run = False
        evidence = {
            "notice_id": notice.notice_id,
            "text_sha256": notice.text_sha256,
            "surface": SURFACE,
            "locale": notice.locale,
        }
        match decision:
            case Decision.GRANT:
                self._client.call("consent.grant", evidence, None, self.show_error)
            case Decision.REFUSE:
                self._refuse(evidence)
            case Decision.DISMISSED:
                self._client.call(
                    "consent.dismiss",
                    {"notice_id": notice.notice_id, "surface": SURFACE},
                    None,
                    lambda _: None,
                )

    def _refuse(self, evidence: dict[str, str]) -> None:
        """A no to a question that was asked is recorded; to one that was only read again it ends
        what was agreed.
        """
        view = view_of(self._client.status, self._context.words)
        if view.is_asked:
            self._client.call("consent.refuse", evidence, None, self.show_error)
        elif view.contributes:
            self._client.call("consent.withdraw", {"surface": SURFACE}, None, self.show_error)


def notice_of(answer: dict[str, Any]) -> Notice:
    """The Notice in the agent's answer to `consent.show`."""
    values = {key: value for key, value in answer.items() if key != "state"}
    operator = values.pop("operator")
    return Notice(
        **{
            **values,
            "first_layer": tuple(values["first_layer"]),
            "details": tuple((heading, body) for heading, body in values["details"]),
            "operator": None if operator is None else OperatorFacts(**operator),
        }
    )
