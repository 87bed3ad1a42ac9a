"""The place of a home's sockets follows from the home alone."""

import os

import pytest

from agent.errors import UserActionError
from agent.ipc import places
from agent.ipc.places import ELSEWHERE, place_socket, socket_of
from agent.ipc.private_folder import PrivateFolder
from agent.paths import Home


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "home")
    home.prepare()
    home.run.mkdir()
    return home


@pytest.fixture
def no_sockets(monkeypatch, home):
    """The home's file system has no sockets."""
    listen = PrivateFolder.listen

    def refuse(folder, name):
        if folder.path == home.run:
            raise PermissionError(1, "Operation not permitted")
        return listen(folder, name)

    monkeypatch.setattr(PrivateFolder, "listen", refuse)


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A folder for temporary files of the test's own."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(folder))
    return folder


def test_the_sockets_are_in_the_home_whatever_the_environment(home):
    for environ in ({}, {"XDG_RUNTIME_DIR": "/run/user/7"}):
        assert place_socket(home, environ) == home.run / "agent.sock"
    assert socket_of(home) == home.run / "agent.sock"
    assert socket_of(home, "tray") == home.run / "tray.sock"
    assert list(home.run.iterdir()) == []


def test_a_file_system_without_sockets_has_them_in_the_runtime_folder(
    tmp_path, home, no_sockets, temporary
):
    environ = {"XDG_RUNTIME_DIR": str(tmp_path / "runtime")}
    path = place_socket(home, environ)
    assert path.parent == tmp_path / "runtime" / "aegisai"
    assert home.name in path.name
    # Everybody else finds it without that environment.
    assert socket_of(home) == path
    assert place_socket(home, {}, "tray").parent == path.parent


def test_a_runtime_folder_that_is_gone_is_made_again_or_replaced(
    tmp_path, home, no_sockets, temporary
):
    environ = {"XDG_RUNTIME_DIR": str(tmp_path / "runtime")}
    path = place_socket(home, environ)
    path.parent.rmdir()
    assert place_socket(home, {}) == path
    path.parent.rmdir()
    path.parent.symlink_to(temporary)
    moved = place_socket(home, {})
    assert moved.parent == temporary / f"aegisai-{os.getuid()}"
    assert socket_of(home) == moved


def test_a_runtime_folder_that_others_can_change_is_not_used(tmp_path, home, no_sockets, temporary):
    (temporary / f"aegisai-{os.getuid()}").mkdir()
    (temporary / f"aegisai-{os.getuid()}").chmod(0o777)
    with pytest.raises(UserActionError) as raised:
        place_socket(home, {})
    assert raised.value.code == "NO_SOCKETS"
    assert not (home.run / ELSEWHERE).exists()


def test_a_file_that_says_where_is_believed_only_if_it_is_plain_and_ours(tmp_path, home):
    (tmp_path / "said").write_text("/somewhere")
    (home.run / ELSEWHERE).symlink_to(tmp_path / "said")
    assert socket_of(home) == home.run / "agent.sock"
    (home.run / ELSEWHERE).unlink()
    (home.run / ELSEWHERE).write_bytes(b"x" * (places.MAX_PATH_BYTES + 1))
    assert socket_of(home) == home.run / "agent.sock"
    home.run.chmod(0o777)
    with pytest.raises(UserActionError):
        socket_of(home)


def test_a_home_that_got_sockets_uses_them_again(tmp_path, home):
    (home.run / ELSEWHERE).write_text(str(tmp_path / "old"))
    assert place_socket(home, {}) == home.run / "agent.sock"
    assert socket_of(home) == home.run / "agent.sock"
