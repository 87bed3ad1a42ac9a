"""The Limits page shows the person's settings, each with the origin of its value.

A setting that the organisation manages is shown and locked.
"""

from collections.abc import Callable, Collection
from typing import Any

from PySide6.QtCore import QSignalBlocker, Qt
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QLineEdit,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from agent.errors import AegisError
from agent.status import Status
from ui import theme
from ui.pages.page import Context, Page
from ui.presentation.reading_labels import share_label
from ui.presentation.setting_labels import setting_labels
from ui.presentation.status_labels import origin_label
from ui.presentation.view_model import View
from ui.widgets import Card, row, rule, set_tone, step, text

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
EDITOR_STEPS = 52
"""All editors share one width, so that they form a column."""


class LimitsPage(Page):
    def __init__(self, context: Context) -> None:
        super().__init__("limitsPage", context.formatter.translate("LimitsPage", "Limits"))
        self._context = context
        self._client = context.client
        self._rows: dict[str, SettingRow] = {}
        self._labels = setting_labels(context.formatter)
        self._cards = QVBoxLayout()
        self._cards.setSpacing(4 * step(self))
        self.body.addWidget(
            text(
                self.tr(
                    "You decide how much of this computer AegisAI may use. A change counts at once."
                ),
                tone="muted",
            )
        )
        self.measured = text("", tone="muted")
        self.measured.setObjectName("measured")
        self.body.addWidget(self.measured)
        self.body.addLayout(self._cards)
        self.end()
        self._loaded = False
        self._revealed = ""

    def opened(self) -> None:
        self._loaded = False
        self._revealed = ""

    def show_view(self, view: View, status: Status | None) -> None:  # noqa: ARG002  every page takes both
        if status is None:
            self.opened()
            self.setEnabled(False)
            return
        self.setEnabled(True)
        measured = status.work.measured_percent if status.work is not None else None
        share = (
            ""
            if measured is None
            else share_label(measured, self._context.cores, self._context.formatter)
        )
        self.measured.setText(self.tr("Measured now: {share}").format(share=share) if share else "")
        self.measured.setVisible(bool(share))
        if not self._loaded:
            self._loaded = True
            self._client.call("settings.get", {}, self._show_settings)

    def reveal(self, key: str) -> None:
        """Scroll to a setting and focus it, as soon as the settings have arrived."""
        self._revealed = key
        if key in self._rows:
            self._rows[key].editor.setFocus()
            self.ensureWidgetVisible(self._rows[key])

    def _show_settings(self, answer: dict[str, Any]) -> None:
        entries = {entry["key"]: entry for entry in answer["settings"]}
        if not self._rows:
            self._build_cards(entries)
            # The rows get their positions after they are built: the page grows then.
            self.verticalScrollBar().rangeChanged.connect(
                lambda: self.reveal(self._revealed), Qt.ConnectionType.SingleShotConnection
            )
        for key, shown in self._rows.items():
            if key in entries:
                shown.show_entry(entries[key])
        self.reveal(self._revealed)

    def _build_cards(self, entries: Collection[str]) -> None:
        for title, note, keys in self._groups():
            shown = [key for key in keys if key in entries]
            if not shown:
                continue
            card = Card(title)
            if note:
                card.body.addWidget(text(note, factor=theme.SMALL, tone="muted"))
            for place, key in enumerate(shown):
                if place:
                    card.body.addWidget(rule())
                self._rows[key] = SettingRow(
                    self._context, self._labels.get(key, key), self._choices(), self._set
                )
                card.body.addWidget(self._rows[key])
            self._cards.addWidget(card)

    def _set(self, key: str, value: object) -> None:
        shown = self._rows[key]
        self._client.call(
            "settings.set", {"key": key, "value": value}, shown.show_entry, shown.show_error
        )

    def _groups(self) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
        return (
            (
                self.tr("Processor and memory"),
                "",
                (
                    "cpu.share_in_use",
                    "cpu.share_idle",
                    "busy.share",
                    "memory.limit_mib",
                    "temperature.stop_c",
                ),
            ),
            (self.tr("Battery"), "", ("battery.rule", "battery.stop_below", "battery.start_above")),
            (
                self.tr("While you use the computer"),
                self.tr("Idle means: no keyboard or mouse for this many minutes."),
                ("idle.only", "idle.minutes"),
            ),
            (
                self.tr("Hours"),
                self.tr(
                    "“always”, “never”, or spans of local time such as 09:00-17:00,22:00-06:00."
                ),
                tuple(f"hours.{day}" for day in DAYS),
            ),
            (
                self.tr("Network"),
                "",
                (
                    "network.metered",
                    "network.bytes_per_day",
                    "hold.minutes",
                    "models.update_without_consent",
                    "network.proxy",
                ),
            ),
            (
                self.tr("Sources of samples"),
                self.tr("They are switched on the Scan page. 0 new samples a day ends them all."),
                ("sources.rows_per_day", "sources.keep_days"),
            ),
            (
                self.tr("Privacy budget"),
                self.tr(
                    "Changing one of these changes the question, so you are asked again before"
                    " anything goes on."
                ),
                (
                    "budget.epsilon",
                    "budget.period_days",
                    "budget.lifetime_epsilon",
                    "consent.refresh_months",
                ),
            ),
            (self.tr("Icon"), "", ("tray.keep_icon",)),
        )

    def _choices(self) -> dict[str, str]:
        return {
            "never": self.tr("Never"),
            "above": self.tr("Above the charges below"),
            "always": self.tr("Always"),
            "%": "%",
            "% of one core": self.tr("% of one core"),
            "% of this computer": self.tr("% of this computer"),
            "min": self.tr("min"),
            "MiB": "MiB",
            "bytes": self.tr("bytes"),
            "months": self.tr("months"),
            "days": self.tr("days"),
            "rows": self.tr("samples"),
            "°C": "°C",
        }


class SettingRow(QWidget):
    """One setting: its name, its editor and the origin of its value."""

    def __init__(
        self,
        context: Context,
        label: str,
        names: dict[str, str],
        changed: Callable[[str, object], None],
    ) -> None:
        super().__init__()
        self._context = context
        self._label_text = label
        self._names = names
        self._changed = changed
        self._entry: dict[str, Any] = {}
        self.editor: QWidget = QWidget()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(step(self) // 2)
        self._line = row(of=self, gap=3)
        self._label = text(label)
        self._line.addWidget(self._label, 1)
        layout.addLayout(self._line)
        self.note = text("", factor=theme.SMALL, tone="muted")
        layout.addWidget(self.note)
        self._is_built = False

    def show_entry(self, entry: dict[str, Any]) -> None:
        """Show an entry of the agent's answer to `settings.get` or `settings.set`."""
        self._entry = entry
        if not self._is_built:
            self._is_built = True
            self.editor = self._build(entry)
            self.editor.setObjectName(f"setting:{entry['key']}")
            self.editor.setAccessibleName(self._label_text)
            if not isinstance(self.editor, QCheckBox):
                self.editor.setFixedWidth(EDITOR_STEPS * step(self))
            if isinstance(self.editor, QAbstractSpinBox):
                self.editor.lineEdit().setTextMargins(
                    step(self), 0, step(self), 0
                )  # style sheets do not reach it
            self.editor.setFocusPolicy(
                Qt.FocusPolicy.StrongFocus
            )  # scrolling the page with the wheel changes nothing
            self._label.setBuddy(self.editor)
            self._line.addWidget(self.editor)
        self._show_value(entry["value"])
        managed = entry["origin"] == "policy"
        self.editor.setEnabled(not managed)
        self.note.setText(self._note(entry))
        set_tone(self.note, "muted")

    def show_error(self, error: AegisError) -> None:
        """Show why a value was refused: typed text stays for correction, a choice goes back."""
        if not isinstance(self.editor, QLineEdit):
            self._show_value(self._entry["value"])
        self.note.setText(str(error))
        set_tone(self.note, "danger")

    def _note(self, entry: dict[str, Any]) -> str:
        formatter = self._context.formatter
        parts = [origin_label(entry["origin"], formatter)]
        if entry["unit"] == "% of one core":
            parts.insert(0, share_label(float(entry["value"]), self._context.cores, formatter))
        if entry["origin"] != "policy" and entry["bound"] is not None:
            parts.append(self.tr("your organisation allows {bound}").format(bound=entry["bound"]))
        if entry["key"] == "network.bytes_per_day":
            parts.insert(0, formatter.size(int(entry["value"])))
        return " · ".join(parts)

    def _build(self, entry: dict[str, Any]) -> QWidget:
        kind, suffix = (
            entry["type"],
            f" {self._names.get(entry['unit'], entry['unit'])}" if entry["unit"] else "",
        )
        if kind == "boolean":
            box = QCheckBox(self.tr("On"))
            box.toggled.connect(lambda on: self._changed(self._entry["key"], on))
            return box
        if kind == "choice":
            combo = QComboBox()
            for choice in entry["choices"]:
                combo.addItem(self._names.get(choice, choice), choice)
            combo.activated.connect(
                lambda at: self._changed(self._entry["key"], combo.itemData(at))
            )
            return combo
        if kind == "integer":
            spin = QSpinBox()
            spin.setRange(int(entry["minimum"]), int(entry["maximum"]))
            spin.setSuffix(suffix)
            spin.setGroupSeparatorShown(True)
            spin.setKeyboardTracking(False)
            spin.valueChanged.connect(lambda value: self._changed(self._entry["key"], value))
            return spin
        if kind == "number":
            number = QDoubleSpinBox()
            number.setDecimals(2)
            number.setSingleStep(0.1)
            number.setRange(float(entry["minimum"]), float(entry["maximum"]))
            number.setKeyboardTracking(False)
            number.valueChanged.connect(
                lambda value: self._changed(self._entry["key"], round(value, 2))
            )
            return number
        edit = QLineEdit()
        edit.editingFinished.connect(lambda: self._edited(edit))
        return edit

    def _edited(self, edit: QLineEdit) -> None:
        if edit.text().strip() != self._entry["value"]:
            self._changed(self._entry["key"], edit.text().strip())
        else:
            self.show_entry(self._entry)

    def _show_value(
        self, value: Any
    ) -> None:  # the agent's JSON value; its type follows the setting's
        with QSignalBlocker(self.editor):
            match self.editor:
                case QCheckBox() as box:
                    box.setChecked(bool(value))
                case QComboBox() as combo:
                    combo.setCurrentIndex(combo.findData(value))
                case QSpinBox() as spin:
                    spin.setValue(int(value))
                case QDoubleSpinBox() as number:
                    number.setValue(float(value))
                case QLineEdit() as edit:
                    edit.setText(str(value))
