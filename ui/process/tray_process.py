"""The tray's process: the icon, and the windows and the agent that it starts.

1. Started by hand it opens a window for a new home; without a notification area it opens one, too.
2. Started at login it opens no window, except once to ask for consent when the agent allows that.
3. Started at login it ends by itself where nobody needs the icon: after a "no" (unless the person
   keeps it) and on a desktop without a notification area. The agent stays.
4. It takes over from the agent of a login that has ended.
5. It executes a program that replaced this one, and ends when the program is removed.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from PySide6.QtCore import QLocale, QObject, QTimer

import agent
from agent.consent.withdrawal import Withdrawal
from agent.errors import AegisError
from agent.ipc.places import place_socket, socket_of
from agent.paths import Home
from agent.program.process import this_program
from agent.status import ConsentState, Status
from ui import i18n
from ui.agent_client import AgentClient
from ui.notifications import Notifier
from ui.process.environment import make_application
from ui.process.launcher import start_aegis, start_agent_if_absent
from ui.process.program_watcher import ProgramWatcher
from ui.process.quit_signals import QuitSignals
from ui.process.single_instance import SingleInstance, send, show_first
from ui.tray import Tray
from ui.tray_host import TrayHost

AREA_TIMEOUT_MS = 3_000
"""After this time without a notification area the window opens instead."""
AREA_TIMEOUT_AUTOSTART_MS = 120_000
"""At login the panel may start late."""
RESTART = 75
"""Qt's exit code that stands for: the program was replaced, execute the new one."""
QUIT_TIMEOUT_MS = 1_500
"""How long quitting waits for the agent's own end."""


def run(home: Home, *, autostart: bool) -> int:
    """Show the icon until Quit and return the exit code."""
    app = make_application("aegis-tray")
    app.setQuitOnLastWindowClosed(False)
    home.prepare()
    instance = SingleInstance(place_socket(home, os.environ, "tray"), app)
    if not instance.claim():
        show_first(socket_of(home, "tray"), "")
        return 0
    formatter = i18n.install(app, QLocale())
    client = AgentClient(home, app)
    tray = Tray(client, Withdrawal(home), formatter=formatter, parent=app)
    Notifier(tray)
    host = TrayHost(AREA_TIMEOUT_AUTOSTART_MS if autostart else AREA_TIMEOUT_MS, app)
    controller = TrayController(home, tray, host, end=app.quit, autostart=autostart)
    signals = QuitSignals(app)
    signals.received.connect(controller.quit)
    instance.messageReceived.connect(
        lambda verb, page, _: controller.quit() if verb == "quit" else controller.open_window(page)
    )
    program = this_program(Path(agent.__file__))
    watcher = ProgramWatcher(program, app)
    watcher.removed.connect(app.quit)
    watcher.replaced.connect(lambda: app.exit(RESTART))
    tray.show_icon()
    start_agent_if_absent(home, client, takes_over=True)
    client.open()
    code = app.exec()
    signals.close()
    tray.hide_icon()
    instance.release()
    client.close()
    if code == RESTART:
        program.execute()
    return int(code)


class TrayController(QObject):
    """What the tray's process does by itself: windows, the first question, its own end.

    `end` ends the process; `start` starts `aegis` with some arguments.
    """

    def __init__(
        self,
        home: Home,
        tray: Tray,
        host: TrayHost,
        *,
        end: Callable[[], None],
        autostart: bool,
        start: Callable[..., None] = start_aegis,
    ) -> None:
        super().__init__(tray)
        self._home = home
        self._client = tray.client
        self._end = end
        self._autostart = autostart
        self._start = start
        self._has_status = False
        self._has_opened = False
        host.appeared.connect(tray.show_icon)
        host.absent.connect(self._without_area)
        tray.windowRequested.connect(self.open_window)
        tray.quitRequested.connect(self.quit)
        tray.client.statusChanged.connect(self._first_status)

    def open_window(self, page: str, *, quietly: bool = False) -> None:
        """Open the window on a page, in a process of its own; an empty page lets it choose."""
        self._has_opened = True
        self._start(
            "window",
            *([page] if page else []),
            "--home",
            str(self._home.root),
            *(["--quietly"] if quietly else []),
        )

    def quit(self) -> None:
        """End the window, the agent and this process.

        Waits for the agent to end, but no longer than QUIT_TIMEOUT_MS.
        """
        with suppress(AegisError):
            send(socket_of(self._home, "window"), "quit")
        self._client.connectedChanged.connect(self._end)
        self._client.call("quit", {}, None, lambda _: self._end())
        QTimer.singleShot(QUIT_TIMEOUT_MS, self._end)

    def _first_status(self, status: Status) -> None:
        if self._has_status:
            return
        self._has_status = True
        state = status.consent.state
        if not self._autostart:
            if state is ConsentState.UNASKED and status.operator is not None:
                self._client.call(
                    "consent.prompt",
                    {},
                    lambda answer: self.open_window("consent" if answer["allowed"] else ""),
                )
            elif state is ConsentState.UNASKED:
                self.open_window("")
            return
        if state in (ConsentState.REFUSED, ConsentState.WITHDRAWN):
            self._client.call("settings.get", {"key": "tray.keep_icon"}, self._end_unless_kept)
        self._client.call(
            "consent.prompt", {}, lambda answer: self._prompt() if answer["allowed"] else None
        )

    def _prompt(self) -> None:
        self.open_window("consent", quietly=True)

    def _end_unless_kept(self, answer: dict[str, list[dict[str, object]]]) -> None:
        if not answer["settings"][0]["value"]:
            self.quit()

    def _without_area(self) -> None:
        if self._autostart:
            self._end()  # not self.quit(): the agent goes on
        elif not self._has_opened:
            self.open_window("")
