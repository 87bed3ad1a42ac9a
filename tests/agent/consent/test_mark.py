"""The mark: a file whose existence means that consent was withdrawn."""

import pytest

from agent.consent.mark import Mark


@pytest.fixture
def paths(tmp_path):
    (tmp_path / "home").mkdir()
    return tmp_path / "home" / "withdrawn", tmp_path / "run" / "name.withdrawn"


def test_it_is_left_in_the_home_and_cleared(paths):
    mark = Mark(*paths)
    assert not mark.is_there()
    assert mark.leave()
    assert Mark(*paths).is_there()
    mark.clear()
    assert not mark.is_there()


def test_a_home_that_takes_nothing_gets_it_elsewhere(paths):
    paths[0].parent.rmdir()
    mark = Mark(*paths)
    assert not mark.leave()
    assert mark.leave_elsewhere()
    assert not Mark(paths[0]).is_there()
    mark.clear()
    assert not mark.is_there()


def test_without_another_place_there_is_none(paths):
    paths[0].parent.rmdir()
    assert not Mark(paths[0]).leave_elsewhere()


def test_a_mark_in_the_home_that_cannot_be_looked_at_counts(paths):
    paths[0].parent.rmdir()
    paths[0].parent.write_text("no folder")
    assert Mark(*paths).is_there()
