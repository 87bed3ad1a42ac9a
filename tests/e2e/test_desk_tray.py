"""The icon in a real login: with a notification area over D-Bus, with one that starts late, and
without any.
"""

import os
import signal
import time

import pytest

from tests.fakes.graphical_login import GraphicalLogin, command_line, needs_login
from tests.fakes.notifier_host import NotifierHost
from tests.fakes.timeouts import TIMEOUT_S, until

pytestmark = [pytest.mark.system, needs_login]


@pytest.fixture
def login(tmp_path):
    with GraphicalLogin(tmp_path, keyring=True) as login:
        yield login


def grant(login):
    notice = login.call("consent.show")
    shown = {name: notice[name] for name in ("notice_id", "text_sha256", "locale")}
    login.call("consent.grant", {**shown, "surface": "cli"})


def test_a_panel_reads_the_icon_pauses_and_switches_consent_off(login):
    with NotifierHost(login.environ["DBUS_SESSION_BUS_ADDRESS"]) as host:
        tray = login.start("tray")
        until(lambda: host.items, what="the icon")
        login.until_status(lambda status: status["consent"]["state"] == "UNASKED")
        until(lambda: "Off" in host.tooltip(), what="the tooltip")
        until(lambda: host.sizes()[:1] and host.sizes()[0] <= 22, what="a picture that fits")
        until(lambda: host.is_enabled("Contribute…"), what="the menu of a new home")

        grant(login)
        until(lambda: "Stop contributing" in host.menu(), what="the menu after a yes")
        until(lambda: "Needs you" in host.tooltip(), what="the need for an invitation")
        host.click("For 1 hour")
        paused = login.until_status(lambda status: status["state"] == "paused")
        assert 3500 < paused["paused_until"] - time.time() <= 3600
        until(lambda: "Paused" in host.tooltip(), what="the paused tooltip")
        until(lambda: not host.is_enabled("Pause"), what="the menu during a pause")
        host.click("Resume")
        login.until_status(lambda status: status["state"] != "paused")

        host.click("Stop contributing")
        withdrawn = login.until_status(lambda status: status["consent"]["state"] == "WITHDRAWN")
        assert withdrawn["state"] == "off"
        until(lambda: "Contribute…" in host.menu(), what="the menu after a no")

        host.click("Quit")
        tray.wait(TIMEOUT_S)
        login.until_gone()


def test_p2_the_icon_switches_consent_off_while_no_agent_runs(login):
    with NotifierHost(login.environ["DBUS_SESSION_BUS_ADDRESS"]) as host:
        login.start("tray")
        login.until_status(lambda status: status["consent"]["state"] == "UNASKED")
        grant(login)
        until(lambda: "Stop contributing" in host.menu(), what="the menu after a yes")
        # Icon and window may each have started an agent; the second waits for the home.
        for pid in login.agents():
            if "run" in command_line(pid):
                os.kill(pid, signal.SIGKILL)
        until(
            lambda: any("agent is not running" in line for line in host.menu()),
            what="the menu without an agent",
        )
        assert host.is_enabled("Stop contributing")
        host.click("Stop contributing")
        until(lambda: (login.home / "withdrawn").exists(), what="the mark")
        until(lambda: not host.is_enabled("Contribute…"), what="the menu after a no")
        login.start("run")
        withdrawn = login.until_status(lambda status: status["consent"]["state"] == "WITHDRAWN")
        assert withdrawn["state"] == "off"
        assert not (login.home / "withdrawn").exists()


def test_a_panel_that_starts_late_gets_the_icon(login):
    login.start("tray", "--autostart")
    login.until_status(lambda status: True)
    with NotifierHost(login.environ["DBUS_SESSION_BUS_ADDRESS"]) as host:
        until(lambda: host.items, what="the icon on the late panel")
        until(lambda: "Off" in host.tooltip(), what="the tooltip")
        until(lambda: host.is_enabled("Open AegisAI"), what="the menu")


def test_without_a_panel_the_window_opens_and_a_second_start_raises_it(login):
    tray = login.start("tray")
    first = login.window("^AegisAI$")
    assert login.start("tray").wait(TIMEOUT_S) == 0
    assert login.start("window", "about").wait(TIMEOUT_S) == 0
    until(
        lambda: running(login, "window") == 1,
        what="the end of the second launch",
    )
    assert login.windows("^AegisAI$") == [first]
    assert tray.poll() is None
    login.aegis("quit")
    until(lambda: running(login, "run") == 0, what="the agent's end")


def running(login, word):
    """How many of this login's AegisAI processes have the word in their command line."""
    return len([pid for pid in login.agents() if word in command_line(pid)])
