"""Withdrawing works whatever state the agent, its store and the disk are in."""

import json

from agent.cli import backend, withdrawal
from agent.daemon.instance_lock import HomeLock
from tests.fakes.command_line import check, grant


def test_p2_withdrawing_holds_where_the_agent_cannot_be_reached(aegis, tmp_path, monkeypatch):
    monkeypatch.setattr(backend, "LOCK_WAIT_S", 0.1)
    monkeypatch.setattr(withdrawal, "RECORD_S", 0.0)
    grant(aegis)
    with HomeLock(tmp_path / "home" / "lock"):
        code, out, _ = aegis("consent", "withdraw", "--json")
        answer = check("withdrawn", json.loads(out))
        assert (code, answer["code"], answer["recorded"]) == (0, "HOME_IN_USE", False)
        code, out, _ = aegis("consent", "withdraw")
        assert (code, "also after a restart" in out) == (0, True)
    assert (tmp_path / "home" / "withdrawn").exists()
    assert json.loads(aegis("status", "--json")[1])["consent"]["state"] == "WITHDRAWN"
    assert not (tmp_path / "home" / "withdrawn").exists()
    grant(aegis)
    assert json.loads(aegis("status", "--json")[1])["consent"]["state"] == "GRANTED"


def test_p2_a_yes_after_a_mark_counts_and_the_withdrawal_is_on_record(aegis, tmp_path):
    grant(aegis)
    (tmp_path / "home" / "withdrawn").touch()
    assert grant(aegis)["consent"]["state"] == "GRANTED"
    exported = tmp_path / "export.json"
    assert aegis("export", str(exported))[0] == 0
    decisions = [row["decision"] for row in json.loads(exported.read_text())["consent"]]
    assert decisions == ["granted", "withdrawn", "granted"]


def test_p2_without_a_home_withdrawing_marks_nothing_and_in_one_that_is_free_it_is_recorded(
    aegis, tmp_path
):
    assert aegis("consent", "withdraw")[0] == 0
    grant(aegis)
    assert check("status", json.loads(aegis("consent", "withdraw", "--json")[1]))
    assert not (tmp_path / "home" / "withdrawn").exists()


def test_p2_without_a_readable_store_the_switch_withdraws(aegis, tmp_path):
    grant(aegis)
    database = tmp_path / "home" / "agent.sqlite3"
    whole = database.read_bytes()
    database.write_bytes(b"no database" * 1000)
    code, out, _ = aegis("consent", "withdraw", "--json")
    answer = check("withdrawn", json.loads(out))
    assert (code, answer["code"], answer["recorded"]) == (0, "STORE_DAMAGED", False)
    database.write_bytes(whole)
    assert json.loads(aegis("status", "--json")[1])["consent"]["state"] == "WITHDRAWN"
