"""A minute and a half on a laptop: unplugged, plugged in, typed at, idle, on a metered network,
handed to another person, put to sleep.

`aegis status --watch --json` shows each reason exactly while it holds, with its source.
"""

import pytest

from tests.fakes.desktop_session import DesktopSession, Watch
from tests.fakes.timeouts import TIMEOUT_S, until

pytestmark = pytest.mark.system


@pytest.fixture
def session(tmp_path):
    session = DesktopSession(tmp_path, "power", "network", "login", share=25)
    yield session
    session.close()


def test_p9_every_reason_is_shown_once_while_it_holds_and_no_longer(session):
    session.set("idle.only", "on")
    session.set("idle.minutes", "1")
    session.grant()
    session.display.type()
    session.start()
    watch = Watch(session)

    def until_shown(*codes, without=(), seconds=TIMEOUT_S):
        until(
            lambda: set(codes) <= watch.codes() and not set(without) & watch.codes(),
            seconds,
            f"{codes} without {without}",
        )

    def reason(code):
        return next(reason for reason in watch.now()["reasons"] if reason["code"] == code)

    try:
        until_shown("IN_USE", without=("ON_BATTERY", "METERED"))
        watch.begin()  # the first status may precede the first reading
        assert (reason("IN_USE")["source"], reason("IN_USE")["setting"]) == ("X11", "idle.only")
        assert not watch.now()["may_train"]

        session.display.type()
        session.bus.do(lambda services: services.power.set(on_battery=True))
        until_shown("ON_BATTERY")
        assert (reason("ON_BATTERY")["source"], reason("ON_BATTERY")["overridable"]) == (
            "UPower",
            True,
        )
        assert watch.now()["may_send"]
        session.bus.do(lambda services: services.power.set(on_battery=False))

        session.bus.do(lambda services: services.network.set(metered=1))
        until_shown("METERED")
        assert (reason("METERED")["source"], watch.now()["may_send"]) == ("NetworkManager", False)
        session.bus.do(lambda services: services.network.set(metered=2))
        until_shown(without=("METERED",))

        session.bus.do(lambda services: services.session.set(active=False))
        until_shown("OTHER_SESSION")
        assert reason("OTHER_SESSION")["source"] == "logind"
        session.bus.do(lambda services: services.session.set(active=True))
        until_shown(without=("OTHER_SESSION",))

        until_shown(
            without=("ON_BATTERY", "IN_USE"), seconds=60 + TIMEOUT_S
        )  # the settling time after plugging in, then a minute without a key
        assert watch.now()["may_train"]
        session.display.type()
        until_shown("IN_USE")

        session.bus.do(lambda services: services.login.PrepareForSleep(True))
        until_shown("BACKOFF")
        session.bus.do(lambda services: services.login.PrepareForSleep(False))
        until(
            lambda: reason("BACKOFF")["text"] == "The computer woke up a moment ago.",
            what="the wake-up",
        )

        times = {
            code: watch.changes(code)
            for code in ("ON_BATTERY", "METERED", "OTHER_SESSION", "IN_USE", "BACKOFF")
        }
        assert times == {
            "ON_BATTERY": 2,
            "METERED": 2,
            "OTHER_SESSION": 2,
            "IN_USE": 2,
            "BACKOFF": 1,
        }
        assert watch.now()["work"]["limit_text"].startswith("25 % of one core = ")
        sources = {reading["name"]: reading["source"] for reading in watch.now()["readings"]}
        assert (sources["idle"], sources["metered"], sources["session active"]) == (
            "X11",
            "NetworkManager",
            "logind",
        )
    finally:
        watch.close()
