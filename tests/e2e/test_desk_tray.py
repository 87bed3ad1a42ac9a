"""The icon in a real login: read and clicked by a notification area over D-Bus, one that comes
late, and none at all.
"""

import time

import pytest

from tests.fakes import graphical_login
from tests.fakes.graphical_login import Desktop, words
from tests.fakes.notifier_host import NotifierHost
from tests.fakes.timeouts import TIMEOUT_S, until

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        bool(graphical_login.missing()), reason=f"not installed: {graphical_login.missing()}"
    ),
]


@pytest.fixture
def desktop(tmp_path):
    with Desktop(tmp_path, keyring=True) as desktop:
        yield desktop


def grant(desktop):
    notice = desktop.call("consent.show")
    said = {name: notice[name] for name in ("notice_id", "text_sha256", "locale")}
    desktop.call("consent.grant", {**said, "surface": "cli"})


def test_a_panel_reads_the_icon_pauses_and_switches_consent_off(desktop):
    with NotifierHost(desktop.environ["DBUS_SESSION_BUS_ADDRESS"]) as host:
        tray = desktop.start("tray")
        until(lambda: host.items, what="the icon")
        desktop.until_status(lambda status: status["consent"]["state"] == "UNASKED")
        until(lambda: "Off" in host.tooltip(), what="the tooltip")
        until(lambda: host.sizes()[:1] and host.sizes()[0] <= 22, what="a picture that fits")
        until(lambda: host.is_enabled("Contribute…"), what="the menu of a new home")

        grant(desktop)
        until(lambda: "Stop contributing" in host.menu(), what="the menu of a yes")
        until(lambda: "Needs you" in host.tooltip(), what="the need for an invitation")
        host.click("For 1 hour")
        paused = desktop.until_status(lambda status: status["state"] == "paused")
        assert 3500 < paused["paused_until"] - time.time() <= 3600
        until(lambda: "Paused" in host.tooltip(), what="the paused tooltip")
        until(lambda: not host.is_enabled("Pause"), what="the menu of a pause")
        host.click("Resume")
        desktop.until_status(lambda status: status["state"] != "paused")

        host.click("Stop contributing")
        withdrawn = desktop.until_status(lambda status: status["consent"]["state"] == "WITHDRAWN")
        assert withdrawn["state"] == "off"
        until(lambda: "Contribute…" in host.menu(), what="the menu of a no")

        host.click("Quit")
        tray.wait(TIMEOUT_S)
        desktop.until_gone()


def test_a_panel_that_comes_late_gets_the_icon(desktop):
    desktop.start("tray", "--autostart")
    desktop.until_status(lambda status: True)
    with NotifierHost(desktop.environ["DBUS_SESSION_BUS_ADDRESS"]) as host:
        until(lambda: host.items, what="the icon after the panel came")
        until(lambda: "Off" in host.tooltip(), what="the tooltip")
        until(lambda: host.is_enabled("Open AegisAI"), what="the menu")


def test_without_a_panel_the_window_opens_and_a_second_start_raises_it(desktop):
    tray = desktop.start("tray")
    first = desktop.window("^AegisAI$")
    assert desktop.start("tray").wait(TIMEOUT_S) == 0
    assert desktop.start("window", "about").wait(TIMEOUT_S) == 0
    until(
        lambda: running(desktop, "window") == 1,
        what="the end of the messenger that raised the window",
    )
    assert desktop.windows("^AegisAI$") == [first]
    assert tray.poll() is None
    desktop.aegis("quit")
    until(lambda: running(desktop, "run") == 0, what="the agent's end")


def running(desktop, word):
    """How many processes of this login's AegisAI have the word in their command line."""
    return len([pid for pid in desktop.agents() if word in words(pid)])
