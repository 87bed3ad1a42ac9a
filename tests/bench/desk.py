"""What the desk costs and how fast it answers: the real tray, window and agent in a login of its
own, with a panel and a screen.
"""

import tempfile
import time
from pathlib import Path

from tests.bench.harness import Figure, bench
from tests.bench.process import rate, usage
from tests.fakes.graphical_login import NEEDED, GraphicalLogin, command_line
from tests.fakes.notifier_host import NotifierHost
from tests.fakes.timeouts import until

REST_S = 60.0
SETTLE_S = 5.0
PAGES = ("privacy", "sent", "limits", "activity", "scan", "about", "overview")
LIMIT = "the limit"


@bench(
    "start.tray_s",
    "start.window_s",
    "tray.rest.rss_mib",
    "tray.rest.cpu_share",
    "tray.rest.wakeups_per_s",
    "desk.rest.pss_mib",
    "quit.desk_s",
    needs=NEEDED,
)
def desk():
    with (
        tempfile.TemporaryDirectory() as folder,
        GraphicalLogin(Path(folder), keyring=True) as login,
    ):
        yield from _measure(login)


def _measure(login):
    with NotifierHost(login.environ["DBUS_SESSION_BUS_ADDRESS"]) as host:
        started = time.perf_counter()
        tray = login.start("tray")
        until(lambda: host.items, what="the icon")
        yield Figure("start.tray_s", time.perf_counter() - started, "s", 2.0, LIMIT)
        login.window("^AegisAI$")  # a new home asks by itself
        login.call("status")
        _close_window(login)

        started = time.perf_counter()
        login.start("window", "overview")
        login.window("^AegisAI$")
        yield Figure("start.window_s", time.perf_counter() - started, "s", 0.6, LIMIT)
        for page in PAGES:
            login.start("window", page).wait(30)
        _close_window(login)

        time.sleep(SETTLE_S)
        rest = rate(tray.pid, REST_S)
        yield Figure("tray.rest.rss_mib", usage(tray.pid).rss_mib, "MiB", 70.0, LIMIT)
        yield Figure("tray.rest.cpu_share", rest.cpu_share, "of a core", 0.001, LIMIT)
        yield Figure("tray.rest.wakeups_per_s", rest.wakeups_per_s, "1/s", 0.2, LIMIT)
        yield Figure(
            "desk.rest.pss_mib",
            sum(usage(pid).pss_mib for pid in login.agents()),
            "MiB",
            140.0,
            "the limit of tray and agent",
        )

        login.start("window", "overview")
        login.window("^AegisAI$")
        started = time.perf_counter()
        host.click("Quit")
        login.until_gone()
        yield Figure("quit.desk_s", time.perf_counter() - started, "s", 2.0, LIMIT)


def _close_window(login):
    """As a person does."""
    login.focus(login.window("^AegisAI$"))
    login.keys("alt+F4")
    until(
        lambda: not [pid for pid in login.agents() if "window" in command_line(pid)],
        what="the window's end",
    )
