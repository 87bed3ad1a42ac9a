"""A folder that only this user can change."""

import os
import socket
import stat
from pathlib import Path

import pytest

from agent.errors import UserActionError
from agent.ipc.private_folder import PrivateFolder


@pytest.fixture
def folder(tmp_path):
    with PrivateFolder.make(tmp_path / "run") as folder:
        yield folder


def refused(path):
    with pytest.raises(UserActionError) as raised:
        PrivateFolder(path)
    return raised.value.code


def test_a_folder_is_made_for_its_owner_alone(folder):
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    folder.path.chmod(0o755)
    PrivateFolder.make(folder.path).close()
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o722, 0o770])
def test_a_folder_that_others_can_change_is_refused(folder, mode):
    folder.path.chmod(mode)
    assert refused(folder.path) == "CHANNEL_UNSAFE"
    with pytest.raises(UserActionError):
        PrivateFolder.make(folder.path)


def test_a_folder_of_another_user_is_refused(folder, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 4242)
    assert refused(folder.path) == "CHANNEL_UNSAFE"


def test_a_link_or_a_file_in_the_place_of_the_folder_is_refused(tmp_path, folder):
    (tmp_path / "link").symlink_to(folder.path)
    (tmp_path / "file").touch()
    assert refused(tmp_path / "link") == "CHANNEL_UNSAFE"
    assert refused(tmp_path / "file") == "CHANNEL_UNSAFE"
    with pytest.raises(FileNotFoundError):
        PrivateFolder(tmp_path / "nowhere")


def test_a_refused_folder_leaves_no_descriptor_open(folder):
    folder.path.chmod(0o777)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        refused(folder.path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_socket_listens_before_it_has_its_name_and_its_path_may_be_long(tmp_path):
    with (
        PrivateFolder.make(tmp_path / ("x" * 200) / "run") as folder,
        folder.listen("agent.sock") as listener,
        socket.socket(socket.AF_UNIX) as client,
    ):
        client.connect(folder.address("agent.sock"))
        assert folder.names() == ["agent.sock"]
        assert stat.S_IMODE((folder.path / "agent.sock").stat().st_mode) == 0o600
        listener.accept()[0].close()


def test_without_short_addresses_a_long_path_is_an_error(tmp_path, folder, monkeypatch):
    monkeypatch.setattr("agent.ipc.private_folder.DESCRIPTORS", tmp_path / "nowhere")
    long = PrivateFolder.make(tmp_path / ("x" * 120))
    with long, pytest.raises(OSError, match="too long"):
        long.listen("agent.sock")
    assert folder.address("a") == str(folder.path / "a")


@pytest.mark.parametrize("kind", ["link", "stale socket", "file", "pipe"])
def test_whatever_has_the_sockets_name_is_replaced_and_not_followed(tmp_path, folder, kind):
    path, target = folder.path / "agent.sock", tmp_path / "target"
    target.write_text("precious")
    match kind:
        case "link":
            path.symlink_to(target)
        case "stale socket":
            folder.listen("agent.sock").close()
        case "file":
            path.touch()
        case "pipe":
            os.mkfifo(path)
    with folder.listen("agent.sock"):
        assert stat.S_ISSOCK(path.lstat().st_mode)
    assert target.read_text() == "precious"


def test_a_folder_that_was_moved_away_is_noticed(folder):
    assert folder.is_in_place()
    folder.path.rename(folder.path.with_name("moved"))
    assert not folder.is_in_place()
    folder.path.mkdir()
    assert not folder.is_in_place()


def test_a_file_is_read_if_it_is_plain_and_ours_and_small(tmp_path, folder):
    folder.write("a", b"12345")
    assert folder.read("a", 5) == b"12345"
    with pytest.raises(ValueError, match="at most 4"):
        folder.read("a", 4)
    (folder.path / "link").symlink_to("a")
    os.mkfifo(folder.path / "pipe")
    (folder.path / "folder").mkdir()
    for name in ("link", "pipe", "folder", "nothing"):
        with pytest.raises(OSError, match=r"regular|symbolic links|directory"):
            folder.read(name, 5)
    Path(tmp_path / "other").hardlink_to(folder.path / "a")
    with pytest.raises(OSError, match="somebody else"):
        folder.read("a", 5)


def test_a_file_is_never_written_over_another(folder):
    folder.write("a", b"1")
    with pytest.raises(FileExistsError):
        folder.write("a", b"2")
    assert folder.read("a", 5) == b"1"
    folder.remove("a")
    folder.remove("a")
    assert folder.inode("a") is None
