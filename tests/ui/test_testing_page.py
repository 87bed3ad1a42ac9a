"""docs/UI-TESTS.md: its example runs, and it names what scripts and tests hold on to."""

import re
from pathlib import Path

from PySide6.QtGui import QAction
from PySide6.QtWidgets import QPushButton

from tests.fakes import agent_client as fakes
from tests.ui import windows
from ui.consent_dialog import ConsentDialog
from ui.tray import Tray

PAGE = (Path(__file__).parents[2] / "docs" / "UI-TESTS.md").read_text()
BUTTONS = ("grantButton", "refuseButton", "detailsButton", "exampleButton")
ACTIONS = ("pause", "resume", "runOnce", "consent", "sent", "settings", "scan", "open", "quit")
PAGES = ("overview", "privacy", "sent", "limits", "activity", "scan", "about", "join", "done")


def test_its_example_runs_and_is_short(qtbot):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len([line for line in block.splitlines() if line.strip()]) <= 10
    names: dict[str, object] = {}
    exec(compile(block, "docs/UI-TESTS.md", "exec"), names)
    (test,) = [call for name, call in names.items() if name.startswith("test_")]
    test(qtbot)


def test_it_names_every_button_action_and_page():
    names = (*BUTTONS, *ACTIONS, *(f"{name}Page" for name in PAGES))
    assert [name for name in names if f"`{name}`" not in PAGE] == []


def test_the_names_exist(qapp, theme):
    dialog = ConsentDialog(fakes.notice())
    assert all(dialog.findChild(QPushButton, name) for name in BUTTONS)
    tray = Tray(fakes.FakeAgentClient(fakes.status()), fakes.no_consent_files())
    assert all(tray.findChild(QAction, name) for name in ACTIONS)
    window = windows.open_window(qapp, fakes.status(), "overview", theme)
    for name in PAGES:
        window.open_page(name)
        assert windows.page(window, f"{name}Page").isVisibleTo(window)
