"""The consent dialog, and dialogs that each break one rule on purpose."""

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QCheckBox

from agent.consent.notice import Decision
from tests.fakes.agent_client import notice
from ui.consent_dialog import ConsentDialog


class DefaultGrant(ConsentDialog):
    """Enter grants."""

    def __init__(self, *args):
        super().__init__(*args)
        self.grant_button.setAutoDefault(True)
        self.grant_button.setDefault(True)

    def keyPressEvent(self, event):
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.grant_button.click()
            return
        super().keyPressEvent(event)


class FocusOnGrant(ConsentDialog):
    def showEvent(self, event):
        super().showEvent(event)
        self.grant_button.setFocus()


class EscapeGrants(ConsentDialog):
    def reject(self):
        self._decide(Decision.GRANT)


class CloseGrants(ConsentDialog):
    def closeEvent(self, event):
        self._decide(Decision.GRANT)
        event.accept()


class TimeGrants(ConsentDialog):
    def __init__(self, *args):
        super().__init__(*args)
        QTimer(self, interval=30_000, singleShot=True).start()


class ReadingGrants(ConsentDialog):
    """Scrolling to the end counts as a yes."""

    def __init__(self, *args):
        super().__init__(*args)
        self.scroll_area.verticalScrollBar().valueChanged.connect(
            lambda: self._decide(Decision.GRANT)
        )


class SmallRefuse(ConsentDialog):
    def __init__(self, *args):
        super().__init__(*args)
        self.refuse_button.setMinimumSize(0, 0)
        self.refuse_button.setMaximumSize(60, 20)


class ColouredGrant(ConsentDialog):
    def __init__(self, *args):
        super().__init__(*args)
        self.grant_button.setProperty("kind", "primary")


class RefuseAsLink(ConsentDialog):
    def __init__(self, *args):
        super().__init__(*args)
        self.refuse_button.setProperty("kind", "link")


class HiddenRefuse(ConsentDialog):
    """Only "yes" and "more information"."""

    def __init__(self, *args):
        super().__init__(*args)
        self.refuse_button.hide()


class LateRefuse(ConsentDialog):
    """Refusing is further away by keyboard than agreeing."""

    def __init__(self, *args):
        super().__init__(*args)
        self.setTabOrder(self.grant_button, self.details_button)
        self.setTabOrder(self.details_button, self.example_button)
        self.setTabOrder(self.example_button, self.refuse_button)


class TickedBox(ConsentDialog):
    def __init__(self, *args):
        super().__init__(*args)
        box = QCheckBox("Share diagnostics", self)
        box.setChecked(True)


class ModalDialog(ConsentDialog):
    def __init__(self, *args):
        super().__init__(*args)
        self.setModal(True)


class NoWithdrawal(ConsentDialog):
    """Only the details say how to withdraw."""

    def __init__(self, content):
        from dataclasses import replace

        super().__init__(replace(content, first_layer=content.first_layer[:-1]))


def shown(qtbot, kind=ConsentDialog, content=None):
    """A dialog on screen and the list of what it decided."""
    dialog = kind(content or notice())
    decided = []
    dialog.decided.connect(decided.append)
    qtbot.addWidget(dialog)
    with qtbot.waitExposed(dialog):
        dialog.show()
    return dialog, decided
