"""The icon in a real login: read and clicked by a notification area over D-Bus, one that comes late, and none at all."""

import time

import pytest

from tests.fakes import login
from tests.fakes.login import Desktop, until, words
from tests.fakes.notifier_host import NotifierHost

pytestmark = [pytest.mark.system, pytest.mark.skipif(bool(login.missing()), reason=f"not installed: {login.missing()}")]


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
        assert host.sizes()[0] <= 22
        assert "Contribute…" in host.menu()

        grant(desktop)
        until(lambda: "Stop contributing" in host.menu(), what="the menu of a yes")
        until(lambda: "Needs you" in host.tooltip(), what="the need for an invitation")
        host.click("For 1 hour")
        paused = desktop.until_status(lambda status: status["state"] == "paused")
        assert 3500 < paused["paused_until"] - time.time() <= 3600
        until(lambda: "Paused" in host.tooltip(), what="the paused tooltip")
        assert host.menu()["Pause"][1] is False
        host.click("Resume")
        desktop.until_status(lambda status: status["state"] != "paused")

        until(lambda: "Stop contributing" in host.menu(), what="the switch")
        host.click("Stop contributing")
        withdrawn = desktop.until_status(lambda status: status["consent"]["state"] == "WITHDRAWN")
        assert withdrawn["state"] == "off"
        until(lambda: "Contribute…" in host.menu(), what="the menu of a no")

        host.click("Quit")
        tray.wait(10)
        desktop.until_gone()


def test_a_panel_that_comes_late_gets_the_icon(desktop):
    desktop.start("tray", "--autostart")
    desktop.until_status(lambda status: True)
    with NotifierHost(desktop.environ["DBUS_SESSION_BUS_ADDRESS"]) as host:
        until(lambda: host.items, what="the icon after the panel came")
        until(lambda: "Off" in host.tooltip(), what="the tooltip")
        assert host.menu()["Open AegisAI"][1]


def test_without_a_panel_the_window_opens_and_a_second_start_raises_it(desktop):
    tray = desktop.start("tray")
    first = desktop.window("^AegisAI$")
    assert desktop.start("tray").wait(20) == 0
    assert desktop.start("window", "about").wait(20) == 0
    assert desktop.windows("^AegisAI$") == [first]
    assert tray.poll() is None
    until(lambda: len([pid for pid in desktop.agents() if "window" in words(pid)]) == 1, what="the end of the second window process")
    desktop.aegis("quit")
    until(lambda: not [pid for pid in desktop.agents() if "run" in words(pid)], 10, "the agent's end")
