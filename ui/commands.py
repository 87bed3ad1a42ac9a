"""`aegis tray` and `aegis window`: where the objects of the two screen processes are built."""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QLocale, QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication

from agent.errors import UserActionError
from agent.paths import Home, default_home, runtime_folder, socket_path
from agent.status import ConsentState, Status
from ui import i18n
from ui.agent_client import AgentClient
from ui.process.quit_signals import QuitSignals
from ui.process.single_instance import SingleInstance, tell, tell_first

if TYPE_CHECKING:
    from ui.window import Window

PATIENCE_MS = 3_000
"""Without a notification area after this time the window opens instead."""
PATIENCE_AUTOSTART_MS = 120_000
"""At login the panel may come late; after this time the icon's process ends and the agent stays."""
QUIT_MS = 1_500
WINDOW_PAGES = (
    "overview",
    "privacy",
    "sent",
    "limits",
    "activity",
    "scan",
    "about",
    "join",
    "consent",
)


def tray(argv: list[str]) -> int:
    """Show the icon until Quit. A second call opens the window of the first."""
    parser = argparse.ArgumentParser(
        prog="aegis tray", description="The icon in the notification area."
    )
    parser.add_argument("--home", help="folder of this agent")
    parser.add_argument(
        "--autostart",
        action="store_true",
        help="started at login: opens no window, except once to ask",
    )
    options = parser.parse_args(argv)
    home = _home(options.home)
    if (problem := _no_display()) is not None:
        raise problem
    app = _application("aegis-tray")
    instance = SingleInstance(_beside(home, "tray"), app)
    if not instance.claim():
        _ask_first(_beside(home, "tray"), "")
        return 0
    return _Resident(app, home, instance, autostart=options.autostart).run()


def window(argv: list[str]) -> int:
    """Show the window until it is closed. A second call raises the first."""
    parser = argparse.ArgumentParser(prog="aegis window", description="The window.")
    parser.add_argument(
        "page",
        nargs="?",
        default="",
        choices=("", *WINDOW_PAGES),
        metavar="PAGE",
        help=", ".join(WINDOW_PAGES),
    )
    parser.add_argument("--home", help="folder of this agent")
    parser.add_argument(
        "--quietly", action="store_true", help="opened by the program itself: takes no focus"
    )
    options = parser.parse_args(argv)
    home = _home(options.home)
    if tell(_beside(home, "window"), "show", options.page, _activation_token()):
        return 0
    if (problem := _no_display()) is not None:
        raise problem
    return _show_window(home, options.page, quietly=options.quietly)


def _show_window(home: Home, page: str, *, quietly: bool) -> int:
    from PySide6.QtCore import Qt

    from ui.pages import Context
    from ui.theme import Theme
    from ui.window import Window

    app = _application("aegis-window")
    instance = SingleInstance(_beside(home, "window"), app)
    if not instance.claim():
        _ask_first(_beside(home, "window"), page)
        return 0
    client = AgentClient(socket_path(home.root, os.environ), app)
    words = i18n.install(app, QLocale())
    shown = Window(Context(client, words, Theme(app), os.cpu_count() or 1))
    opener = _FirstPage(shown, page)
    client.statusChanged.connect(opener.status_came)

    def asked(verb: str, argument: str, token: str) -> None:
        if verb == "quit":
            shown.close()
            return
        if token:
            os.environ["XDG_ACTIVATION_TOKEN"] = token
        if argument:
            shown.open_page(argument)
        shown.setWindowState(shown.windowState() & ~Qt.WindowState.WindowMinimized)
        shown.show()
        shown.raise_()
        shown.activateWindow()

    instance.asked.connect(asked)
    shown.closed.connect(app.quit)
    ending = QuitSignals(app)
    ending.asked.connect(shown.close)
    if quietly:
        shown.setAttribute(Qt.WidgetAttribute.WA_ShowWithoutActivating)
    _start_agent_when_none_runs(home, client)
    client.open()
    shown.show()
    code = app.exec()
    ending.close()
    instance.release()
    client.close()
    return int(code)


class _FirstPage:
    """Opens the wanted page once the first Status is there: a home that was never joined begins
    with the invitation.
    """

    def __init__(self, shown: "Window", page: str) -> None:
        self._window = shown
        self._page = page
        self._is_done = False

    def status_came(self, status: Status) -> None:
        if self._is_done:
            return
        self._is_done = True
        is_new = status.consent.state is ConsentState.UNASKED and status.operator is None
        self._window.open_page(self._page or ("join" if is_new else "overview"))


class _Resident:
    """The tray's process: link, icon, and the windows and agent that it starts."""

    def __init__(
        self, app: QApplication, home: Home, instance: SingleInstance, *, autostart: bool
    ) -> None:
        from ui.notifications import Notifier
        from ui.tray import Tray
        from ui.tray_host import TrayHost

        self._app = app
        self._home = home
        self._instance = instance
        self._autostart = autostart
        self._is_asked = False
        self._has_opened = False
        app.setQuitOnLastWindowClosed(False)
        words = i18n.install(app, QLocale())
        self._client = AgentClient(socket_path(home.root, os.environ), app)
        self._tray = Tray(self._client, words=words, parent=app)
        self._notifier = Notifier(self._tray)
        self._host = TrayHost(PATIENCE_AUTOSTART_MS if autostart else PATIENCE_MS, app)
        self._host.came.connect(self._tray.show_icon)
        self._host.absent.connect(self._without_area)
        self._tray.windowWanted.connect(self.open_window)
        self._tray.quitWanted.connect(self.quit)
        self._client.statusChanged.connect(self._first_status)
        self._ending = QuitSignals(app)
        self._ending.asked.connect(self.quit)
        instance.asked.connect(
            lambda verb, page, _: self.quit() if verb == "quit" else self.open_window(page)
        )

    def run(self) -> int:
        self._tray.show_icon()
        _start_agent_when_none_runs(self._home, self._client)
        self._client.open()
        code = self._app.exec()
        self._ending.close()
        self._tray.hide_icon()
        self._instance.release()
        self._client.close()
        return int(code)

    def open_window(self, page: str, *, quietly: bool = False) -> None:
        self._has_opened = True
        words = [
            "window",
            *([page] if page else []),
            "--home",
            str(self._home.root),
            *(["--quietly"] if quietly else []),
        ]
        _start(words)

    def quit(self) -> None:
        """End agent, window and this process; the agent's own end is waited for, but not longer
        than QUIT_MS.
        """
        tell(_beside(self._home, "window"), "quit")
        self._client.connectedChanged.connect(self._app.quit)
        self._client.call("quit", {}, None, lambda _: self._app.quit())
        QTimer.singleShot(QUIT_MS, self._app.quit)

    def _first_status(self, status: Status) -> None:
        if self._is_asked:
            return
        self._is_asked = True
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
            self._app.quit()  # the agent stays; the launcher's entry opens the window
        elif not self._has_opened:
            self.open_window("")


def _start_agent_when_none_runs(home: Home, client: AgentClient) -> None:
    """One try, now if there is no socket, else when nobody answers on it."""
    path = socket_path(home.root, os.environ)
    if not path.exists():
        _start(["run", "--home", str(home.root)])
        return

    def check() -> None:
        if not client.is_connected:
            _start(["run", "--home", str(home.root)])

    QTimer.singleShot(300, check)


def _start(words: list[str]) -> None:
    """Start `aegis WORDS` as a process of its own, that neither holds our output or folder nor ends
    with us. `words` name whole paths.
    """
    command = (
        [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-P", "-m", "agent"]
    )
    subprocess.Popen(
        [*command, *words],
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=None,
        start_new_session=True,
        close_fds=True,
    )


def _application(name: str) -> QApplication:
    app = QApplication([name])
    app.setApplicationName("AegisAI")
    app.setApplicationDisplayName("AegisAI")
    QGuiApplication.setDesktopFileName("aegisai")
    return app


def _home(chosen: str | None) -> Home:
    return Home((Path(chosen) if chosen else default_home(os.environ)).absolute())


def _beside(home: Home, what: str) -> Path:
    return runtime_folder(os.environ) / f"{home.name}-{what}.sock"


def _ask_first(path: Path, page: str) -> None:
    if not tell_first(path, "show", page, _activation_token()):
        raise UserActionError(
            "RUNNING_ALREADY",
            "AegisAI is open already, but does not answer.",
            "Close it, or end it with aegis quit.",
        )


def _activation_token() -> str:
    return os.environ.get("XDG_ACTIVATION_TOKEN", "")


def _no_display() -> UserActionError | None:
    if (
        sys.platform != "linux"
        or os.environ.get("QT_QPA_PLATFORM")
        or os.environ.get("DISPLAY")
        or os.environ.get("WAYLAND_DISPLAY")
    ):
        return None
    return UserActionError(
        "NO_DISPLAY", "There is no display.", "Use the commands instead: aegis --help."
    )
