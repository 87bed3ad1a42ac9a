"""Commands that answer from a server's settings alone."""

import json

import pytest

from server_stub.cli.main import main
from server_stub.config.home import ServerHome
from tests.fakes.server_commands import INIT


def test_plan_shows_groups_and_how_often_drop_outs_end_one(tmp_path, capsys):
    home = ["--home", str(tmp_path / "server")]
    assert main([*INIT, *home]) == 0
    capsys.readouterr()
    assert main(["plan", "--devices", "200", "--json", *home]) == 0
    answer = json.loads(capsys.readouterr().out)
    smallest, asked = answer["devices"]
    assert (smallest["devices"], asked["devices"]) == (answer["min_group"], 200)
    assert (asked["groups"], asked["size"], asked["left_out"]) == (2, 100, 0)
    assert asked["aborts"] == sorted(asked["aborts"])
    assert main(["plan", "--devices", "200", *home]) == 0
    assert "20 of them may collude" in capsys.readouterr().out


def test_a_task_without_groups_has_no_plan_for_them(tmp_path, capsys):
    home = ["--home", str(tmp_path / "server")]
    assert main([*INIT, "--mode", "local", *home]) == 0
    assert main(["plan", "--devices", "200", *home]) == 1
    assert "BAD_SETTING" in capsys.readouterr().err


@pytest.mark.parametrize("devices", ["0", "-1", "many"])
def test_plan_needs_a_number_of_devices(devices, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["plan", "--devices", devices, "--home", str(tmp_path)])
    assert "--devices" in capsys.readouterr().err


def test_a_task_may_ask_for_the_age_of_its_devices_and_do_without_a_witness(tmp_path, capsys):
    home = tmp_path / "server"
    more = ["--peer-days", "7", "--without-witness"]
    assert main([*INIT, *more, "--home", str(home)]) == 0
    task = ServerHome(home).settings().task
    assert (task.peer_days, task.witness) == (7, "")
    assert main([*INIT, "--peer-days", "91", "--home", str(tmp_path / "other")]) == 1
    assert "peer_days: expected 0 to 90" in capsys.readouterr().err


def test_a_task_may_list_the_authorities_of_signed_programs(tmp_path, capsys):
    home, option = tmp_path / "server", "--signing-authority"
    more = [option, "ff" * 32, option, "11" * 32, option, "ff" * 32]
    assert main([*INIT, *more, "--home", str(home)]) == 0
    assert ServerHome(home).settings().task.signing_authorities == f"{'11' * 32} {'ff' * 32}"
    assert main([*INIT, option, "DigiCert", "--home", str(tmp_path / "other")]) == 1
    assert "signing_authorities" in capsys.readouterr().err
