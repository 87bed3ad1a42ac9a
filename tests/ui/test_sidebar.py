"""The sidebar: one button for each page, by mouse and by shortcut."""

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QMainWindow, QPushButton

from ui.sidebar import Sidebar

PAGES = ["overview", "privacy", "sent", "limits", "activity", "scan", "about"]


@pytest.fixture
def window(qapp, theme):
    window = QMainWindow()
    window.setCentralWidget(Sidebar(window))
    window.show()
    window.activateWindow()
    return window


@pytest.fixture
def sidebar(window):
    return window.centralWidget()


def nav(sidebar, page):
    return sidebar.findChild(QPushButton, f"nav-{page}")


def test_the_pages_are_in_order(sidebar):
    names = [each.objectName() for each in sidebar.findChildren(QPushButton)]
    assert names == [f"nav-{page}" for page in PAGES]


@pytest.mark.parametrize("page", PAGES)
def test_a_click_chooses_a_page(sidebar, qtbot, page):
    with qtbot.waitSignal(sidebar.pageChosen) as chosen:
        nav(sidebar, page).click()
    assert chosen.args == [page]


@pytest.mark.parametrize(("number", "page"), list(enumerate(PAGES, 1)))
def test_a_number_with_ctrl_chooses_a_page(window, sidebar, qtbot, number, page):
    qtbot.waitUntil(window.isActiveWindow)
    with qtbot.waitSignal(sidebar.pageChosen) as chosen:
        QTest.keyClick(window, Qt.Key(Qt.Key.Key_0 + number), Qt.KeyboardModifier.ControlModifier)
    assert chosen.args == [page]


def test_one_page_is_marked(sidebar):
    sidebar.select("sent")
    sidebar.select("scan")
    assert [page for page in PAGES if nav(sidebar, page).isChecked()] == ["scan"]


def test_the_marked_page_has_the_accent_colour(sidebar, theme):
    sidebar.select("scan")
    sidebar.use(theme.colours)
    pictures = {
        page: nav(sidebar, page).icon().pixmap(20, 20).toImage() for page in ("scan", "sent")
    }
    colours = {
        page: {
            image.pixelColor(x, y).name()
            for x in range(20)
            for y in range(20)
            if image.pixelColor(x, y).alpha() == 255
        }
        for page, image in pictures.items()
    }
    assert theme.colours.accent in colours["scan"]
    assert theme.colours.muted in colours["sent"]
