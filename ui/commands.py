"""`aegis tray` and `aegis window`: read the arguments and start one of the two processes.

The processes are imported when they are needed: a second launch only sends a message to the first
and must not load the pages, and the resident tray must not keep the window's modules in memory.
"""

from agent.ipc.places import socket_of
from agent.printable import ArgumentParser
from ui.process import environment
from ui.process.single_instance import activation_token, send

PAGES = (
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
    """Show the icon until Quit. A second launch opens the first one's window."""
    parser = ArgumentParser(
        prog="aegis tray", description="Show the icon in the notification area."
    )
    parser.add_argument("--home", help="folder of this agent")
    parser.add_argument(
        "--autostart",
        action="store_true",
        help="started at login: open no window, except once to ask for consent",
    )
    options = parser.parse_args(argv)
    home = environment.chosen_home(options.home)
    environment.require_display()
    from ui.process import tray_process

    return tray_process.run(home, autostart=options.autostart)


def window(argv: list[str]) -> int:
    """Show the window until it is closed. A second launch raises the first one's window."""
    parser = ArgumentParser(prog="aegis window", description="Show the window.")
    parser.add_argument(
        "page", nargs="?", default="", choices=("", *PAGES), metavar="PAGE", help=", ".join(PAGES)
    )
    parser.add_argument("--home", help="folder of this agent")
    parser.add_argument(
        "--quietly",
        action="store_true",
        help="take no focus; used when AegisAI opens the window by itself",
    )
    options = parser.parse_args(argv)
    home = environment.chosen_home(options.home)
    if send(socket_of(home, "window"), "show", options.page, activation_token()):
        return 0
    environment.require_display()
    from ui.process import window_process

    return window_process.run(home, options.page, quietly=options.quietly)
