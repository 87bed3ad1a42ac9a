"""The switch: a small file that says on for one recorded yes, overwritten in place to say no."""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.consent.switch import SIZE, Switch

ROW, OTHER = "ab" * 32, "cd" * 32


@pytest.fixture
def path(tmp_path):
    return tmp_path / "consent-switch"


@pytest.fixture
def switch(path):
    switch = Switch(path)
    switch.turn_on(ROW, 1000, "cli")
    return switch


def test_it_is_on_for_its_own_row_only(switch, path):
    assert switch.is_on(ROW)
    assert not switch.is_on(OTHER)
    assert path.stat().st_size == SIZE
    assert path.stat().st_mode & 0o777 == 0o600


def test_missing_means_off(path):
    assert not Switch(path).is_on(ROW)
    Switch(path).turn_off(2000, "cli")
    assert not path.exists()


def test_withdrawing_overwrites_the_same_file_and_keeps_when_and_where(switch, path):
    inode = path.stat().st_ino
    switch.turn_off(2000, "tray")
    assert path.stat().st_ino == inode
    assert path.stat().st_size == SIZE
    position = switch.position()
    assert (position.is_on, position.entry, position.at, position.surface) == (
        False,
        ROW,
        2000,
        "tray",
    )
    switch.turn_off(3000, "cli")
    assert switch.position().at == 2000


@given(cut=st.integers(0, SIZE))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_p2_whatever_a_power_cut_leaves_of_a_withdrawal_is_no_yes_unless_nothing_was_written(
    switch, path, cut
):
    switch.turn_on(ROW, 1000, "cli")
    on = path.read_bytes()
    switch.turn_off(2000, "cli")
    off = path.read_bytes()
    path.write_bytes(off[:cut] + on[cut:])
    assert switch.is_on(ROW) is (off[:cut] == on[:cut])


@given(content=st.binary(max_size=2 * SIZE))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_p11_any_other_content_means_off(switch, path, content):
    path.write_bytes(content)
    assert not switch.is_on(ROW)
    switch.turn_off(2000, "cli")
    assert not switch.is_on(ROW)


def test_a_link_or_a_pipe_in_its_place_means_off_and_is_not_followed(switch, path, tmp_path):
    target = tmp_path / "target"
    path.rename(target)
    before = target.read_bytes()
    path.symlink_to(target)
    assert not switch.is_on(ROW)
    switch.turn_off(2000, "cli")
    assert target.read_bytes() == before
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    assert not switch.is_on(ROW)


def test_a_yes_that_did_not_reach_the_record_is_put_back(switch):
    before = switch.position()
    switch.turn_on(OTHER, 2000, "window")
    switch.put_back(before)
    assert switch.position() == before
    switch.put_back(None)
    assert switch.position() == before


def test_an_odd_surface_is_written_as_one_word(switch):
    switch.turn_on(ROW, -5, "my window\n\u0000" + "x" * 100)
    assert switch.is_on(ROW)
    assert len(switch.position().surface) == 40


def test_clearing_removes_it(switch, path):
    switch.clear()
    switch.clear()
    assert not path.exists()
