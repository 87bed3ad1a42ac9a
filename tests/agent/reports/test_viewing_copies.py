"""Copies for a person to look at belong to this user and this home."""

import pytest

from agent.paths import Home
from agent.reports.viewing_copies import ViewingCopies


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "home")
    home.prepare()
    return home


def test_a_copy_is_readable_by_its_owner_only_and_replaces_the_last(home):
    copies = ViewingCopies(home)
    copies.write("x.bin", b"old")
    path = copies.write("x.bin", b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_the_copies_are_removed_and_the_sockets_stay(home):
    copies = ViewingCopies(home)
    copies.write("x.bin", b"x")
    kept = [home.run / name for name in ("agent.sock", "window.sock", "window.sock.lock")]
    for path in kept:
        path.touch()
    copies.remove()
    assert sorted(home.run.iterdir()) == sorted(kept)


def test_without_a_folder_there_is_nothing_to_remove(tmp_path):
    ViewingCopies(Home(tmp_path / "home")).remove()
    assert not (tmp_path / "home").exists()
