"""The rules of the question itself, C1 to C9.

Each check also runs on dialogs that break its rule; it must find every one of them.
"""

import re
from dataclasses import replace
from itertools import pairwise

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt, QTimer
from PySide6.QtGui import QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QApplication,
    QCheckBox,
    QDialogButtonBox,
    QPushButton,
)

from agent.consent.notice import Decision
from agent.consent.wording import locales
from agent.status import ConsentState
from tests.fakes import agent_client as fakes
from tests.law import dialogs
from tests.law.dialogs import ConsentDialog, shown
from tests.ui import windows


def fails(check, *args):
    """Whether a check finds the mutant."""
    try:
        check(*args)
    except AssertionError:
        return True
    return False


# C1: nothing is on before a choice.


def check_c1(qtbot, kind):
    dialog, decided = shown(qtbot, kind)
    assert [box.text() for box in dialog.findChildren(QAbstractButton) if box.isChecked()] == []
    assert decided == []


def test_c1_nothing_is_ticked_before_a_choice(qtbot):
    check_c1(qtbot, ConsentDialog)
    assert fails(check_c1, qtbot, dialogs.TickedBox)


def test_c1_a_new_home_has_every_optional_switch_off():
    switches = {
        entry["key"]: entry["value"]
        for entry in windows.settings_answer()["settings"]
        if entry["type"] == "boolean"
    }
    assert switches == {
        "idle.only": False,
        "models.update_without_consent": False,
        "tray.keep_icon": False,
    }


# C2: only a clear act counts.


def press(*keys):
    def act(dialog):
        for key in keys:
            QTest.keyClick(dialog.focusWidget() or dialog, key)

    return act


def scroll_to_the_end(dialog):
    dialog.details_button.click()
    bar = dialog.scroll_area.verticalScrollBar()
    bar.setValue(bar.maximum())
    wheel = QWheelEvent(
        QPointF(5, 5),
        QPointF(5, 5),
        QPoint(0, -400),
        QPoint(0, -400),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(dialog.scroll_area.viewport(), wheel)


def click_beside(dialog):
    QTest.mouseClick(dialog, Qt.MouseButton.LeftButton, pos=QPoint(3, 3))


UNCLEAR = {
    "Enter": press(Qt.Key.Key_Return),
    "Enter on the keypad": press(Qt.Key.Key_Enter),
    "space": press(Qt.Key.Key_Space),
    "Y": press(Qt.Key.Key_Y),
    "Esc": press(Qt.Key.Key_Escape),
    "close": lambda dialog: dialog.close(),
    "scrolling to the end": scroll_to_the_end,
    "a click beside": click_beside,
    "losing the focus": lambda dialog: dialog.clearFocus(),
    "accept()": lambda dialog: dialog.accept(),
}


def check_c2(qtbot, kind, act):
    dialog, decided = shown(qtbot, kind)
    act(dialog)
    assert Decision.GRANT not in decided


@pytest.mark.parametrize("act", UNCLEAR.values(), ids=UNCLEAR)
def test_c2_nothing_but_the_button_grants(qtbot, act):
    check_c2(qtbot, ConsentDialog, act)


@pytest.mark.parametrize(
    ("kind", "act"),
    [
        (dialogs.DefaultGrant, "Enter"),
        (dialogs.FocusOnGrant, "space"),
        (dialogs.EscapeGrants, "Esc"),
        (dialogs.CloseGrants, "close"),
        (dialogs.ReadingGrants, "scrolling to the end"),
    ],
)
def test_c2_a_dialog_that_accepts_less_as_a_yes_is_found(qtbot, kind, act):
    assert fails(check_c2, qtbot, kind, UNCLEAR[act])


def check_c2_no_clock(qtbot, kind):
    dialog, _ = shown(qtbot, kind)
    assert [timer for timer in dialog.findChildren(QTimer) if timer.isActive()] == []


def test_c2_time_decides_nothing(qtbot):
    check_c2_no_clock(qtbot, ConsentDialog)
    assert fails(check_c2_no_clock, qtbot, dialogs.TimeGrants)


def test_c2_a_second_launch_raises_the_question_and_answers_nothing(qtbot, qapp, theme):
    window = windows.open_window(qapp, fakes.new_home(), "consent", theme)
    first = window.dialog
    window.open_page("consent")
    assert window.dialog is first
    assert not [
        method
        for method in window.client.methods
        if method.startswith("consent.") and method != "consent.show"
    ]


@pytest.mark.parametrize(
    ("name", "decision"), [("grantButton", Decision.GRANT), ("refuseButton", Decision.REFUSE)]
)
def test_c2_each_button_decides_once_by_mouse_and_by_keyboard(qtbot, name, decision):
    for use in (
        lambda button: QTest.mouseClick(button, Qt.MouseButton.LeftButton),
        lambda button: (button.setFocus(), QTest.keyClick(button, Qt.Key.Key_Space)),
    ):
        dialog, decided = shown(qtbot)
        use(dialog.findChild(QPushButton, name))
        dialog.close()
        assert decided == [decision]


# C3: yes and no on the same layer, with the same effort and the same look.


def check_c3(qtbot, kind):
    dialog, _ = shown(qtbot, kind)
    grant, refuse = (
        dialog.findChild(QPushButton, "grantButton"),
        dialog.findChild(QPushButton, "refuseButton"),
    )
    assert type(grant) is type(refuse) is QPushButton
    assert grant.isVisibleTo(dialog)
    assert refuse.isVisibleTo(dialog)
    assert grant.font() == refuse.font()
    assert grant.height() == refuse.height()
    assert abs(grant.width() - refuse.width()) <= 0.1 * grant.width()
    assert grant.y() == refuse.y()
    assert grant.property("kind") == refuse.property("kind")
    assert grant.styleSheet() == refuse.styleSheet() == ""
    assert grant.palette() == refuse.palette()
    for each in dialog.findChildren(QPushButton):
        assert not each.isDefault()
        assert not each.autoDefault()
    assert dialog.findChildren(QDialogButtonBox) == []
    assert dialog.focusWidget() not in (grant, refuse)
    assert not dialog.isModal()
    assert tab_distance(dialog, grant) == 1
    assert tab_distance(dialog, refuse) == 2
    assert background(grant) == background(refuse)


def tab_distance(dialog, target):
    """How often Tab is pressed from the dialog's first focus until `target` has it; 99: never."""
    for pressed in range(1, 10):
        QTest.keyClick(dialog.focusWidget() or dialog, Qt.Key.Key_Tab)
        if dialog.focusWidget() is target:
            return pressed + before(dialog, target)
    return 99


def before(dialog, target):
    """Tab presses of an earlier walk: the second walk starts where the first ended."""
    grant = dialog.findChild(QPushButton, "grantButton")
    return 0 if target is grant else 1


def background(button):
    """The colour of the button's own ground, without focus."""
    button.window().setFocus()
    image = button.grab().toImage()
    return image.pixelColor(8, image.height() // 2).name()


def test_c3_yes_and_no_weigh_the_same(qtbot, theme):
    for dark in (False, True):
        theme.use(dark=dark)
        check_c3(qtbot, ConsentDialog)
    theme.use(dark=False)


@pytest.mark.parametrize(
    "kind",
    [
        dialogs.DefaultGrant,
        dialogs.FocusOnGrant,
        dialogs.SmallRefuse,
        dialogs.ColouredGrant,
        dialogs.RefuseAsLink,
        dialogs.HiddenRefuse,
        dialogs.LateRefuse,
        dialogs.ModalDialog,
    ],
)
def test_c3_a_dialog_that_favours_yes_is_found(qtbot, kind, theme):
    assert fails(check_c3, qtbot, kind)


# C4: closing is "not now" and not a nag.


def check_c4(qtbot, kind):
    dialog, decided = shown(qtbot, kind)
    names = {
        button.objectName()
        for button in dialog.findChildren(QPushButton)
        if button.isVisibleTo(dialog)
    }
    assert {"grantButton", "refuseButton", "detailsButton"} <= names
    dialog.close()
    assert decided == [Decision.DISMISSED]
    assert not dialog.isVisible()


def test_c4_yes_no_and_details_are_offered_and_closing_is_not_now(qtbot):
    check_c4(qtbot, ConsentDialog)
    assert fails(check_c4, qtbot, dialogs.HiddenRefuse)
    assert fails(check_c4, qtbot, dialogs.CloseGrants)


# C5: no double negatives, and a switch says what on means.

DOUBLE_NEGATIVE = re.compile(
    r"\b(?:do not|don.t|not|never|nicht|kein\w*)\b[^.;:]*\b(?:disable|opt"
    r" out|decline|refuse|deaktivier\w*|ablehn\w*|abschalt\w*)\b",
    re.I,
)


def check_c5(texts):
    assert [words for words in texts if DOUBLE_NEGATIVE.search(words)] == []


def test_c5_no_text_of_the_question_denies_twice():
    for locale in locales():
        notice = fakes.notice(locale)
        labels = (
            notice.title,
            notice.question,
            notice.grant_label,
            notice.refuse_label,
            notice.details_label,
        )
        check_c5(labels)
    assert fails(check_c5, ["Do not disable sharing", "Contribute"])
    assert fails(check_c5, ["Nicht ablehnen"])


def test_c5_every_switch_says_what_on_means(qapp, theme):
    window = windows.open_window(qapp, fakes.status(), "limits", theme)
    for key in ("idle.only", "models.update_without_consent", "tray.keep_icon"):
        box = window.findChild(QCheckBox, f"setting:{key}")
        assert box.text() == "On"
        assert box.accessibleName().startswith(("Train only", "Fetch newer", "Keep the icon"))


# C7: one decision for each purpose.


def check_c7(notice):
    words = " ".join((notice.question, notice.grant_label, notice.refuse_label)).lower()
    assert notice.purpose == "contribute"
    assert not re.search(r"\b(all|everything|diagnostics|experiments|alles|alle)\b", words)


def test_c7_the_question_is_about_one_purpose():
    for locale in locales():
        check_c7(fakes.notice(locale))
    assert fails(check_c7, replace(fakes.notice(), grant_label="Yes to all"))
    assert fails(
        check_c7,
        replace(fakes.notice(), question="May this computer contribute and share diagnostics?"),
    )


# C8: who, why, what, rights; short first, whole on demand.

HEADINGS = (
    "responsible",
    "legal basis",
    "read on this computer",
    "sent",
    "Recipients",
    "long",
    "Transfers",
    "Automated",
    "rights",
)


def check_c8(notice):
    assert sum(len(paragraph.split()) for paragraph in notice.first_layer) <= 150
    assert all(heading.strip() and body.strip() for heading, body in notice.details)
    headings = " | ".join(heading for heading, _ in notice.details)
    assert [word for word in HEADINGS if word not in headings] == []
    assert notice.operator is not None
    first = notice.first_layer[0] + dict(notice.details)["Who is responsible"]
    assert notice.operator.name in first
    assert notice.operator.contact in first


def test_c8_the_notice_says_who_why_and_what_and_its_first_layer_is_short():
    notice = fakes.notice()
    check_c8(notice)
    assert fails(check_c8, replace(notice, details=notice.details[1:]))
    assert fails(
        check_c8, replace(notice, details=((notice.details[0][0], ""), *notice.details[1:]))
    )
    assert fails(check_c8, replace(notice, first_layer=(*notice.first_layer, "word " * 100)))


def test_c8_every_locale_says_as_much():
    counts = {locale: len(fakes.notice(locale).details) for locale in locales()}
    assert len(set(counts.values())) == 1
    assert len(counts) >= 2


def test_c8_the_details_open_in_place_and_hold_every_word(qtbot):
    dialog, _ = shown(qtbot)
    assert not dialog.details.isVisible()
    QTest.mouseClick(dialog.details_button, Qt.MouseButton.LeftButton)
    assert dialog.details.isVisible()
    shown_text = " ".join(
        label.text() for label in dialog.details.findChildren(object) if hasattr(label, "wordWrap")
    )
    for heading, body in dialog.notice.details:
        assert heading in shown_text
        assert body in shown_text


# C9: how to withdraw stands before the buttons.


def check_c9(qtbot, kind):
    dialog, _ = shown(qtbot, kind)
    labels = [
        label
        for label in dialog.findChildren(object)
        if hasattr(label, "wordWrap") and label.isVisibleTo(dialog)
    ]
    paragraphs = [label for label in labels if "Withdraw at any time" in label.text()]
    assert len(paragraphs) == 1
    bottom = paragraphs[0].mapTo(dialog, paragraphs[0].rect().bottomLeft()).y()
    assert bottom < dialog.findChild(QPushButton, "grantButton").mapTo(dialog, QPoint(0, 0)).y()


def test_c9_how_to_withdraw_is_read_before_the_buttons(qtbot):
    check_c9(qtbot, ConsentDialog)
    assert fails(check_c9, qtbot, dialogs.NoWithdrawal)


def test_the_paragraphs_are_in_the_order_of_the_notice(qtbot):
    dialog, _ = shown(qtbot)
    labels = {
        label.text(): label.mapTo(dialog, QPoint(0, 0)).y()
        for label in dialog.findChildren(object)
        if hasattr(label, "wordWrap")
    }
    heights = [labels[paragraph] for paragraph in dialog.notice.first_layer]
    assert all(upper < lower for upper, lower in pairwise(heights))


def test_the_example_is_shown_on_demand_and_decides_nothing(qtbot):
    dialog, decided = shown(qtbot)
    dialog.exampleRequested.connect(
        lambda: dialog.show_example(fakes.preview_answer(windows.bytes_file()))
    )
    QTest.mouseClick(dialog.example_button, Qt.MouseButton.LeftButton)
    content = dialog.example.toPlainText()
    assert content.startswith("# example")
    assert "size_of_optional_header  1280" in content
    assert "000000  00 07 0e" in content
    assert decided == []


def test_consent_states_are_the_five_of_the_contract():
    assert {state.value for state in ConsentState} == {
        "UNASKED",
        "GRANTED",
        "REFUSED",
        "WITHDRAWN",
        "STALE",
    }
