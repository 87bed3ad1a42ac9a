"""A withdrawal beside an agent that may not answer: the mark, and without one the switch."""

import pytest

from agent.consent import mark
from agent.consent.switch import Switch
from agent.consent.withdrawal import Withdrawal
from agent.errors import UserActionError
from agent.files import atomic_file
from agent.paths import Home

NOW = 1_800_000_000


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "home")
    home.prepare()
    Switch(home.consent_switch).turn_on("ab" * 32, NOW, "window")
    return home


@pytest.fixture
def files(home, tmp_path):
    return Withdrawal(home, {"XDG_RUNTIME_DIR": str(tmp_path / "run")})


def no_room(*_):
    raise OSError("no room")


def test_p2_a_yes_may_hold_until_the_mark_is_left(files):
    assert files.may_hold()
    assert files.begin("tray")
    assert not files.may_hold()
    assert not files.is_read()


def test_a_home_that_does_not_exist_gets_no_mark(tmp_path):
    files = Withdrawal(Home(tmp_path / "none"), {"XDG_RUNTIME_DIR": str(tmp_path)})
    assert not files.begin("tray")
    files.turn_off(NOW, "tray")
    assert not files.may_hold()
    assert not (tmp_path / "none").exists()


def test_p2_the_switch_alone_withdraws(files, home):
    files.turn_off(NOW, "tray")
    assert not files.may_hold()
    assert Switch(home.consent_switch).position().surface == "tray"


def test_p2_where_nothing_can_be_written_it_says_so_and_the_login_remembers(
    files, home, monkeypatch
):
    touch = atomic_file.touch
    for name in ("write", "overwrite", "remove"):
        monkeypatch.setattr(atomic_file, name, no_room)
    monkeypatch.setattr(
        atomic_file, "touch", lambda path: no_room() if home.root in path.parents else touch(path)
    )
    assert not files.begin("tray")
    with pytest.raises(UserActionError) as raised:
        files.turn_off(NOW, "tray")
    assert raised.value.code == "NOT_SAVED"
    assert not files.may_hold()


def test_the_mark_says_where_the_person_withdrew_if_there_is_room(home, monkeypatch):
    left = mark.Mark(home.withdrawal_mark)
    assert left.leave("tray")
    assert left.surface() == "tray"
    left.clear()
    monkeypatch.setattr(atomic_file, "write", no_room)
    assert left.leave("tray")
    assert left.surface() == mark.UNKNOWN_SURFACE
    home.withdrawal_mark.write_bytes(b"\x1b[31m" * 20)
    assert left.surface() == mark.UNKNOWN_SURFACE
