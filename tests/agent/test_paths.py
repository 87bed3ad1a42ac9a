"""Where things lie."""

import stat

import pytest

from agent.errors import UserActionError
from agent.paths import Home, default_home, policy_path, runtime_folder, socket_path


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


def test_a_sockets_name_is_short_whatever_the_home(tmp_path):
    long = tmp_path / ("x" * 200)
    path = socket_path(long, {"XDG_RUNTIME_DIR": "/run/user/7"})
    assert len(str(path)) < 60
    assert path != socket_path(tmp_path, {"XDG_RUNTIME_DIR": "/run/user/7"})
