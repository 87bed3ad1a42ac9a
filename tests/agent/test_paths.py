"""Where things lie."""

import stat

import pytest

from agent.errors import UserActionError
from agent.paths import Home, default_home, policy_path, runtime_folder


def test_a_home_is_its_owners_alone(tmp_path):
    home = Home(tmp_path / "a" / "home")
    home.prepare()
    home.prepare()
    assert stat.S_IMODE(home.root.stat().st_mode) == 0o700
    assert all(folder.is_dir() for folder in (home.models, home.scratch, home.logs))
    assert not home.is_demo


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "home").touch()
    with pytest.raises(UserActionError) as raised:
        Home(tmp_path / "home").prepare()
    assert raised.value.code == "HOME_UNUSABLE"


def test_the_environment_chooses(tmp_path):
    assert default_home({"AEGIS_HOME": "/x"}).as_posix() == "/x"
    assert default_home({"XDG_DATA_HOME": "/y"}).as_posix() == "/y/aegisai"
    assert policy_path().as_posix() == "/etc/aegisai/policy.toml"
    assert runtime_folder({"XDG_RUNTIME_DIR": "/run/user/7"}).as_posix() == "/run/user/7/aegisai"
    assert "aegisai-" in runtime_folder({}).name


def test_a_home_of_another_user_is_not_used(tmp_path, monkeypatch):
    home = Home(tmp_path / "home")
    home.prepare()
    monkeypatch.setattr("os.geteuid", lambda: 4242)
    assert not home.is_ours
    with pytest.raises(UserActionError) as raised:
        home.prepare()
    assert raised.value.code == "HOME_FOREIGN"


@pytest.mark.parametrize("name", ["models", "scratch", "logs", "run"])
def test_a_link_in_the_place_of_a_folder_is_refused(tmp_path, name):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserActionError) as raised:
        Home(tmp_path / "home").prepare()
    assert raised.value.code == "HOME_UNUSABLE"
    assert list((tmp_path / "elsewhere").iterdir()) == []
