"""A policy counts only if nobody but the administrator can have written it."""

import os
import sys

import pytest

from agent.config.machine_policy import load
from agent.config.policy_file import PolicyPlace, demo_place, inspect, machine_place
from agent.paths import policy_path
from tests.fakes.device import policy_of_tests

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes and owners of POSIX")


@pytest.fixture
def place(tmp_path):
    """A policy that counts."""
    (tmp_path / "etc" / "aegisai").mkdir(parents=True)
    for folder in (tmp_path, tmp_path / "etc", tmp_path / "etc" / "aegisai"):
        folder.chmod(0o755)
    place = policy_of_tests(tmp_path / "etc" / "aegisai" / "policy.toml")
    place.path.write_text('[settings]\n"budget.epsilon" = 0.5\n')
    place.path.chmod(0o644)
    return place


def assert_refused(place, why):
    policy = load(place)
    assert policy.denied.startswith("The policy of this computer cannot be trusted (")
    assert why in policy.denied
    assert "IT" in policy.remedy
    # It is not obeyed either, and nothing goes on that it may have forbidden.
    assert policy.bounds == {"models.update_without_consent": False}
    assert (policy.invitation, policy.lines) == ("", ())


def test_a_policy_of_the_administrator_counts(place):
    assert load(place).bounds == {"budget.epsilon": 0.5}


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646, 0o622])
def test_a_file_that_others_can_write_is_refused(place, mode):
    place.path.chmod(mode)
    assert_refused(place, f"(mode {mode:04o})")


@pytest.mark.parametrize("above", [0, 1])
@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_so_is_one_in_a_folder_that_others_can_write(place, above, mode):
    place.path.parents[above].chmod(mode)
    assert_refused(place, f"(mode {mode:04o})")


def test_a_sticky_folder_may_be_above_but_not_the_files_own(place):
    place.path.parents[1].chmod(0o1777)
    assert load(place).bounds == {"budget.epsilon": 0.5}
    place.path.parent.chmod(0o1777)
    assert_refused(place, "(mode 1777)")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away"
)
@pytest.mark.parametrize("what", ["file", "folder", "folder above"])
def test_a_file_or_folder_of_somebody_else_is_refused(place, what):
    path = {"file": place.path, "folder": place.path.parent}.get(what, place.path.parents[1])
    os.chown(path, 4242, 4242)
    assert_refused(place, "does not belong to the administrator")


def test_an_owner_counts_only_where_the_place_names_it(place):
    stranger = PolicyPlace(place.path)
    if os.geteuid() == 0:
        assert load(stranger).bounds == {"budget.epsilon": 0.5}
    else:
        assert_refused(stranger, "does not belong to the administrator")


@pytest.mark.parametrize("link", ["file", "folder"])
def test_a_link_counts_if_all_of_its_way_does(place, tmp_path, link):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    linked = place.path if link == "file" else place.path.parent
    linked.rename(elsewhere / "target")
    linked.symlink_to("../" * (2 if link == "file" else 1) + "elsewhere/target")
    assert load(place).bounds == {"budget.epsilon": 0.5}
    elsewhere.chmod(0o777)
    assert_refused(place, "elsewhere (mode 0777)")


def test_a_link_to_nothing_and_a_ring_of_links_forbid(place):
    place.path.unlink()
    place.path.symlink_to("gone.toml")
    assert "cannot be read" in load(place).denied
    place.path.unlink()
    place.path.symlink_to("policy.toml")
    assert "cannot be read" in load(place).denied


@pytest.mark.parametrize("kind", ["fifo", "folder"])
def test_p11_what_is_no_file_forbids_at_once(place, kind):
    place.path.unlink()
    if kind == "fifo":
        os.mkfifo(place.path, 0o644)
    else:
        place.path.mkdir(mode=0o755)
    assert_refused(place, "is not a file")


def test_without_file_or_folder_there_is_no_policy(place):
    place.path.unlink()
    assert load(place).origin == ""
    place.path.parent.rmdir()
    assert load(place).origin == ""


def test_a_missing_file_in_a_folder_that_others_can_write_may_have_been_removed(place):
    place.path.unlink()
    place.path.parent.chmod(0o777)
    assert_refused(place, "(mode 0777)")


def test_every_change_of_owner_mode_or_content_changes_the_stamp(place):
    seen = [inspect(place).stamp]
    for change in (
        lambda: place.path.chmod(0o600),
        lambda: place.path.parent.chmod(0o700),
        lambda: place.path.write_text("contribute = false\n"),
        place.path.unlink,
    ):
        change()
        seen.append(inspect(place).stamp)
        assert seen[-1] not in seen[:-1]
    assert inspect(place).stamp == seen[-1]


def test_the_machines_place_is_fixed_and_only_the_demos_moves(monkeypatch, tmp_path):
    monkeypatch.setenv("AEGIS_POLICY", str(tmp_path / "mine.toml"))
    assert machine_place() == PolicyPlace(policy_path())
    assert demo_place({}) is None
    assert demo_place({"AEGIS_POLICY": "/x/p.toml"}).path.as_posix() == "/x/p.toml"
