"""Copies for a person to look at belong to this user and this home."""

import pytest

from agent.paths import Home, runtime_folder
from agent.reports.viewing_copies import ViewingCopies


@pytest.fixture
def environ(tmp_path):
    return {"XDG_RUNTIME_DIR": str(tmp_path / "run")}


def test_a_copy_is_readable_by_its_owner_only_and_replaces_the_last(tmp_path, environ):
    copies = ViewingCopies(Home(tmp_path / "home"), environ)
    copies.write("x.bin", b"old")
    path = copies.write("x.bin", b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_only_this_homes_copies_are_removed_and_the_windows_stay_reachable(tmp_path, environ):
    mine, other = (ViewingCopies(Home(tmp_path / name), environ) for name in "ab")
    mine.write("x.bin", b"x")
    kept = other.write("x.bin", b"x")
    sockets = [
        runtime_folder(environ) / f"{mine.home.name}-{name}"
        for name in ("window.sock", "window.sock.lock")
    ]
    for path in sockets:
        path.touch()
    mine.remove()
    assert sorted(runtime_folder(environ).iterdir()) == sorted([kept, *sockets])


def test_without_a_runtime_folder_there_is_nothing_to_remove(tmp_path, environ):
    ViewingCopies(Home(tmp_path / "home"), environ).remove()
    assert not runtime_folder(environ).exists()
