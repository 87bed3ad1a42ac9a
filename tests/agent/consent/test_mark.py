"""A mark says no until the record does."""

import os

import pytest

from agent.consent.mark import Mark


@pytest.fixture
def mark(tmp_path):
    return Mark(tmp_path / "home" / "withdrawn")


def test_a_mark_stays_until_it_is_cleared(mark, tmp_path):
    (tmp_path / "home").mkdir()
    assert not mark.is_there()
    mark.clear()
    assert mark.leave()
    assert mark.leave()
    assert Mark(tmp_path / "home" / "withdrawn").is_there()
    mark.clear()
    assert not mark.is_there()


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_p1_whatever_has_the_name_is_a_mark_and_nothing_else_is_touched(mark, tmp_path, kind):
    (tmp_path / "home").mkdir()
    path, target = tmp_path / "home" / "withdrawn", tmp_path / "target"
    target.write_text("precious")
    match kind:
        case "link":
            path.symlink_to(target)
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
    assert mark.is_there()
    assert mark.leave()
    assert target.read_text() == "precious"


def test_p1_a_place_that_cannot_be_read_counts_as_a_mark(tmp_path):
    (tmp_path / "file").touch()
    assert Mark(tmp_path / "file" / "withdrawn").is_there()


def test_where_nothing_can_be_written_that_is_said(mark):
    assert not mark.leave()
