"""The Overview page shows what AegisAI does now, why it waits and what the privacy budget is."""

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QLabel, QVBoxLayout

from agent.reasons import ReasonCode
from agent.status import AgentState, Status
from ui import theme
from ui.gauges import Meter
from ui.icons import picture, state_colour
from ui.pages.page import Context, Page
from ui.presentation.reading_labels import reading_label, unknown_readings, work_labels
from ui.presentation.reason_labels import ReasonLabel
from ui.presentation.view_model import View
from ui.widgets import Card, button, clear, column, row, rule, step, text

ICON_STEPS = 12
NAME_STEPS = 46
_OPENED_BY_HAND = {
    ReasonCode.KEYRING_LOCKED,
    ReasonCode.KEYRING_ITEM_LOCKED,
    ReasonCode.KEYRING_NO_DEFAULT,
    ReasonCode.KEY_STORE_CLOSED,
}
"""Reasons that go once the person has answered what their key store asks."""


class OverviewPage(Page):
    decideRequested = Signal()
    joinRequested = Signal()
    settingRequested = Signal(str)
    pageRequested = Signal(str)

    def __init__(self, context: Context) -> None:
        # The state is this page's heading.
        title = context.formatter.translate("OverviewPage", "Overview")
        super().__init__("overviewPage", title, has_heading=False)
        self._context = context
        self._client = context.client
        self._view: View | None = None
        self._build_headline()
        self._build_reasons()
        self._build_budget()
        self._build_readings()
        self._build_facts()
        self.end()

    def show_view(self, view: View, status: Status | None) -> None:
        self._view = view
        colours = self._context.theme.colours
        size = ICON_STEPS * step(self)
        self._icon.setPixmap(
            picture(
                f"state-{view.state.value}",
                state_colour(view.state, colours),
                size,
                self.devicePixelRatioF(),
            )
        )
        self.headline.setText(view.headline)
        self.detail.setText(view.detail)
        self.detail.setVisible(bool(view.detail))
        self._progress.setVisible(view.progress is not None)
        self._progress.show_share(
            view.progress or 0.0,
            self.tr("{percent} % done").format(percent=round(100 * (view.progress or 0))),
        )
        self._show_buttons(view, status)
        self._show_notes(view)
        self._show_reasons(view)
        self._show_readings(status)
        self._budget_card.setVisible(view.budget is not None)
        self._facts_card.setVisible(view.budget is not None)
        if view.budget is not None:
            self._meter.use(colours)
            self._progress.use(colours)
            self._meter.show_share(view.budget.share, view.budget.headline)
            self._budget_headline.setText(view.budget.headline)
            self._budget_meaning.setText(view.budget.meaning)
            self._budget_figures.setText(
                "\n".join((view.budget.figures, view.budget.lifetime, view.budget.fallback))
            )
        self._model.setText(view.model)
        self._samples.setText(view.samples)
        self._operator.setText(
            status.operator.name if status and status.operator else self.tr("Nobody yet")
        )

    def _build_headline(self) -> None:
        card = Card()
        line = row(of=self, gap=5)
        self._icon = QLabel()
        self._icon.setAccessibleName(self.tr("State"))
        line.addWidget(self._icon)
        lines = QVBoxLayout()
        lines.setSpacing(step(self) // 2)
        self.headline = text("", factor=theme.FIGURE, bold=True)
        self.headline.setObjectName("headline")
        self.detail = text("", tone="muted")
        self.detail.setObjectName("detail")
        lines.addWidget(self.headline)
        lines.addWidget(self.detail)
        line.addLayout(lines, 1)
        card.body.addLayout(line)
        self._progress = Meter(self._context.theme.colours, self.tr("Progress"))
        self._progress.setObjectName("progress")
        card.body.addSpacing(step(self))
        card.body.addWidget(self._progress)
        self._build_buttons(card)
        self.body.addWidget(card)
        self._notes = QVBoxLayout()
        self._notes.setSpacing(2 * step(self))
        self.body.addLayout(self._notes)

    def _build_buttons(self, card: Card) -> None:
        self.decide = button(self.tr("Review and decide"), "decideButton", "primary")
        self.join = button(self.tr("Enter an invitation"), "joinButton")
        self.pause = button(self.tr("Pause"), "pauseButton")
        self.resume = button(self.tr("Resume"), "resumeButton", "primary")
        self.run_once = button(self.tr("Train once now"), "runOnceButton")
        self.discard = button(self.tr("Discard the update"), "discardButton")
        self.unlock = button(self.tr("Unlock the keyring"), "unlockButton", "primary")
        self.go_on = button(self.tr("Allow this model more"), "goOnButton")
        line = row(of=self)
        for each in (
            self.decide,
            self.join,
            self.unlock,
            self.go_on,
            self.resume,
            self.pause,
            self.run_once,
            self.discard,
        ):
            line.addWidget(each)
        line.addStretch(1)
        card.body.addSpacing(2 * step(self))
        card.body.addLayout(line)
        self.decide.clicked.connect(self.decideRequested)
        self.join.clicked.connect(self.joinRequested)
        for each, method in (
            (self.pause, "pause"),
            (self.resume, "resume"),
            (self.run_once, "run_now"),
            (self.discard, "discard"),
            (self.unlock, "unlock"),
            (self.go_on, "consent.go_on"),
        ):
            each.clicked.connect(lambda *_, method=method: self._client.call(method))

    def _show_buttons(self, view: View, status: Status | None) -> None:
        codes = {reason.code for reason in view.reasons} if status is not None else set()
        self.decide.setVisible(view.is_asked or (status is not None and not view.contributes))
        self.join.setVisible(status is not None and not view.is_member)
        self.pause.setVisible(view.menu.can_pause)
        self.resume.setVisible(view.menu.can_resume)
        self.run_once.setVisible(view.contributes)
        self.run_once.setEnabled(view.menu.can_run_once)
        self.discard.setVisible(ReasonCode.HOLD in codes)
        self.unlock.setVisible(bool(codes & _OPENED_BY_HAND))
        self.unlock.setText(
            self.tr("Create a default keyring")
            if ReasonCode.KEYRING_NO_DEFAULT in codes
            else self.tr("Unlock the keyring")
        )
        self.go_on.setVisible(ReasonCode.MODEL_SPENT in codes)

    def _show_notes(self, view: View) -> None:
        clear(self._notes)
        for note in view.notes:
            banner = QFrame()
            banner.setProperty("banner", True)
            inside = column(banner, margin=3)
            inside.addWidget(text(note))
            self._notes.addWidget(banner)

    def _build_reasons(self) -> None:
        self._reasons_card = Card(self.tr("Why it waits"))
        self._reasons_card.setObjectName("reasons")
        self._reasons = QVBoxLayout()
        self._reasons.setSpacing(2 * step(self))
        self._reasons_card.body.addLayout(self._reasons)
        self.body.addWidget(self._reasons_card)

    def _show_reasons(self, view: View) -> None:
        clear(self._reasons)
        busy = view.state in (AgentState.TRAINING, AgentState.SENDING)
        self._reasons_card.setVisible(bool(view.reasons) and not busy)
        for place, reason in enumerate(view.reasons):
            if place:
                self._reasons.addWidget(rule())
            self._reasons.addLayout(self._reason_row(reason))

    def _reason_row(self, reason: ReasonLabel) -> QVBoxLayout:
        whole = QVBoxLayout()
        whole.setSpacing(0)
        line = row(of=self)
        line.addWidget(text(reason.title), 1)
        if reason.action and not (reason.page == "join" and self.join.isVisibleTo(self)):
            change = button(reason.action, f"lift:{reason.setting or reason.page}", "link")
            change.setAccessibleDescription(reason.title)
            change.clicked.connect(lambda *_: self._lift(reason))
            line.addWidget(change)
        whole.addLayout(line)
        if reason.note:
            whole.addWidget(text(reason.note, factor=theme.SMALL, tone="muted"))
        return whole

    def _lift(self, reason: ReasonLabel) -> None:
        if reason.page == "limits":
            self.settingRequested.emit(reason.setting)
        else:
            self.pageRequested.emit(reason.page)

    def _build_readings(self) -> None:
        self._readings_card = Card(self.tr("Measured now"))
        self._readings_card.setObjectName("readings")
        self._readings = QVBoxLayout()
        self._readings.setSpacing(step(self))
        self._readings_card.body.addLayout(self._readings)
        self.body.addWidget(self._readings_card)

    def _show_readings(self, status: Status | None) -> None:
        clear(self._readings)
        formatter = self._context.formatter
        readings = (
            [reading_label(each, formatter) for each in status.readings]
            if status is not None
            else []
        )
        self._readings_card.setVisible(bool(readings))
        work = (
            work_labels(status.work, self._context.cores, formatter)
            if status is not None and readings
            else []
        )
        for reading in (*work, *readings):
            if not reading.is_known:
                continue
            line = row(of=self, gap=4)
            name = text(reading.name, tone="muted")
            name.setFixedWidth(NAME_STEPS * step(self))
            line.addWidget(name)
            line.addWidget(text(reading.value), 1)
            line.addWidget(text(reading.note, factor=theme.SMALL, tone="muted"), 1)
            self._readings.addLayout(line)
        if missing := unknown_readings(readings, formatter):
            self._readings.addWidget(text(missing, factor=theme.SMALL, tone="muted"))

    def _build_budget(self) -> None:
        self._budget_card = Card(self.tr("Privacy budget"))
        self._budget_headline = text("", bold=True)
        self._budget_headline.setObjectName("budgetHeadline")
        self._budget_meaning = text("", tone="muted")
        self._budget_meaning.setObjectName("budgetMeaning")
        self._budget_figures = text("", factor=theme.SMALL, tone="muted")
        self._meter = Meter(self._context.theme.colours, self.tr("Privacy budget used"))
        self._budget_card.body.addWidget(self._budget_headline)
        self._budget_card.body.addWidget(self._meter)
        self._budget_card.body.addWidget(self._budget_meaning)
        self._budget_card.body.addWidget(self._budget_figures)
        self.body.addWidget(self._budget_card)

    def _build_facts(self) -> None:
        self._facts_card = Card(self.tr("On this computer"))
        self._model, self._samples, self._operator = text(""), text(""), text("")
        for label, value in (
            (self.tr("Detector"), self._model),
            (self.tr("Your samples"), self._samples),
            (self.tr("Operator"), self._operator),
        ):
            line = row(of=self, gap=4)
            name = text(label, tone="muted")
            name.setFixedWidth(NAME_STEPS * step(self))
            line.addWidget(name)
            line.addWidget(value, 1)
            self._facts_card.body.addLayout(line)
        self.body.addWidget(self._facts_card)
