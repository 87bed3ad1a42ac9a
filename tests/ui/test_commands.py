"""`aegis tray` and `aegis window`: arguments, a second launch, and no display."""

import pytest

from agent.errors import UserActionError
from agent.ipc.places import socket_of
from agent.paths import Home
from ui import commands
from ui.process.single_instance import SingleInstance


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_ACTIVATION_TOKEN", raising=False)
    return Home(tmp_path / "home")


@pytest.fixture
def no_display(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("QT_QPA_PLATFORM", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def first(home, qapp):
    instance = SingleInstance(socket_of(home, "window"))
    assert instance.claim()
    yield instance
    instance.release()


@pytest.mark.parametrize("command", [commands.tray, commands.window])
def test_help_ends_with_success(command, capsys):
    with pytest.raises(SystemExit) as ended:
        command(["--help"])
    assert ended.value.code == 0
    assert "--home" in capsys.readouterr().out


def test_a_page_that_does_not_exist_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        commands.window(["settings"])
    assert ended.value.code == 2
    assert "overview" in capsys.readouterr().err


@pytest.mark.parametrize("command", [commands.tray, commands.window])
def test_without_a_display_it_is_refused_in_one_sentence(home, no_display, command):
    with pytest.raises(UserActionError) as raised:
        command(["--home", str(home.root)])
    assert raised.value.code == "NO_DISPLAY"


def test_a_second_launch_needs_no_display_and_opens_its_page_in_the_first(
    home, first, no_display, qtbot
):
    with qtbot.waitSignal(first.messageReceived) as received:
        assert commands.window(["sent", "--home", str(home.root)]) == 0
    assert received.args == ["show", "sent", ""]


def test_every_page_of_the_command_is_a_page_of_the_window(qapp, theme):
    from tests.fakes import agent_client as fakes
    from tests.ui import windows

    window = windows.open_window(qapp, fakes.status(), "about", theme)
    for page in commands.PAGES:
        window.open_page(page)
        assert window.page == page or (page == "consent" and window.dialog is not None)
