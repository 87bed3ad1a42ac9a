"""The window's process: builds the window and its objects, and ends when it is closed."""

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

from PySide6.QtCore import QLocale, QObject, Qt
from PySide6.QtWidgets import QApplication

import agent
from agent.consent.withdrawal import Withdrawal
from agent.ipc.last_cycle import LastCycleFile
from agent.ipc.places import place_socket, socket_of
from agent.paths import Home
from agent.program.process import this_program
from agent.status import ConsentState, Status
from ui import i18n
from ui.agent_client import AgentClient
from ui.pages.page import Context
from ui.process.environment import make_application
from ui.process.launcher import start_agent_if_absent
from ui.process.program_watcher import ProgramWatcher
from ui.process.quit_signals import QuitSignals
from ui.process.single_instance import SingleInstance, show_first
from ui.theme import Theme
from ui.window import Window


def run(home: Home, page: str, *, quietly: bool) -> int:
    """Show the window until it is closed and return the exit code.

    `page` may be empty; `quietly` opens the window without taking the focus.
    """
    app = make_application("aegis-window")
    home.prepare()
    instance = SingleInstance(place_socket(home, os.environ, "window"), app)
    if not instance.claim():
        show_first(socket_of(home, "window"), page)
        return 0
    client = AgentClient(home, app)
    formatter = i18n.install(app, QLocale())
    window = Window(
        Context(
            client,
            formatter,
            Theme(app),
            os.cpu_count() or 1,
            Withdrawal(home),
            last_cycle=LastCycleFile(home.last_cycle).read,
        )
    )
    FirstPage(client, window, page)
    instance.messageReceived.connect(partial(obey, window))
    window.closed.connect(app.quit)
    signals = QuitSignals(app)
    signals.received.connect(window.close)
    if quietly:
        window.setAttribute(Qt.WidgetAttribute.WA_ShowWithoutActivating)
    program = this_program(Path(agent.__file__))
    follower = ProgramFollower(ProgramWatcher(program, app), window, app)
    start_agent_if_absent(home, client)
    client.open()
    window.show()
    code = app.exec()
    signals.close()
    instance.release()
    client.close()
    if follower.must_restart:
        arguments = ("window", window.page, "--home", str(home.root), "--quietly")
        replace(program, arguments=arguments).execute()
    return int(code)


class ProgramFollower(QObject):
    """Ends the window when the program is removed. When it was replaced, the window makes room for
    the new program once the person is not in the middle of something.
    """

    def __init__(self, watcher: ProgramWatcher, window: Window, app: QApplication) -> None:
        super().__init__(window)
        self._window = window
        self._app = app
        self._is_replaced = False
        self.must_restart = False
        """Whether the new program is to show the window again."""
        watcher.removed.connect(window.close)
        watcher.replaced.connect(self._replaced)
        app.applicationStateChanged.connect(self._leave_if_unused)

    def _replaced(self) -> None:
        self._is_replaced = True
        self._leave_if_unused()

    def _leave_if_unused(self) -> None:
        is_active = self._app.applicationState() is Qt.ApplicationState.ApplicationActive
        if self._is_replaced and not is_active and self._window.dialog is None:
            self.must_restart = True
            self._window.close()


class FirstPage(QObject):
    """Opens the requested page once, with the first Status.

    A device that has never joined and never decided starts with the invitation instead of the
    overview.
    """

    def __init__(self, client: AgentClient, window: Window, page: str) -> None:
        super().__init__(window)
        self._window = window
        self._page = page
        self._is_open = False
        client.statusChanged.connect(self._show)

    def _show(self, status: Status) -> None:
        if self._is_open:
            return
        self._is_open = True
        is_new = status.consent.state is ConsentState.UNASKED and status.operator is None
        self._window.open_page(self._page or ("join" if is_new else "overview"))


def obey(window: Window, verb: str, page: str, token: str) -> None:
    """Do what a second launch asks of this window."""
    if verb == "quit":
        window.close()
        return
    if token:
        # Without the launcher's token a Wayland compositor does not let the window come forward.
        os.environ["XDG_ACTIVATION_TOKEN"] = token
    if page:
        window.open_page(page)
    window.setWindowState(window.windowState() & ~Qt.WindowState.WindowMinimized)
    window.show()
    window.raise_()
    window.activateWindow()
