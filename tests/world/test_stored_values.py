"""Stored values of a type or form that AegisAI never writes.

Every command ends in one clear error or does its work, and nothing is lost or sent.
"""

import asyncio
import json
import shutil
import sqlite3
from contextlib import closing

import pytest

from agent.app import Overrides, build
from agent.cli.main import main
from tests.fakes.device import Device

DAMAGES = {
    "consent body": "UPDATE consent SET body = '[1, 2]'",
    "consent type": "UPDATE consent SET body = json_set(body, '$.at', 'yesterday')",
    "consent state": "UPDATE consent SET body = json_set(body, '$.state', 7)",
    "consent blob": "UPDATE consent SET body = x'ff00'",
    "setting type": "INSERT INTO setting VALUES ('cpu.share_idle', '{\"a\": 1}')",
    "setting no json": "INSERT INTO setting VALUES ('hours.monday', 'always')",
    "setting range": "INSERT INTO setting VALUES ('budget.epsilon', '1e99')",
    "setting blob": "INSERT INTO setting VALUES ('key_store', x'ff')",
    "enrolment type": "UPDATE value SET json = '7' WHERE key = 'enrolment'",
    "enrolment field": "UPDATE value SET json = json_set(json, '$.server', 7)"
    " WHERE key = 'enrolment'",
    "enrolment figures": "UPDATE value SET json = json_set(json, '$.figures', 'x')"
    " WHERE key = 'enrolment'",
    "pause": "INSERT OR REPLACE INTO value VALUES ('pause', '{\"until\": \"x\"}')",
    "prompted": "INSERT OR REPLACE INTO value VALUES ('prompted', '3')",
    "draft": "INSERT OR REPLACE INTO value VALUES ('draft', '[]')",
    "price": "INSERT OR REPLACE INTO value VALUES ('round_price', 'null and void')",
    "price type": "INSERT OR REPLACE INTO value VALUES ('round_price', '[7]')",
    "price field": "UPDATE value SET json = json_set(json, '$.at', 'then')"
    " WHERE key = 'round_price'",
    "price kind": "UPDATE value SET json = json_set(json, '$.rho_units', 'dear')"
    " WHERE key = 'round_price'",
    "first look": "INSERT OR REPLACE INTO value VALUES ('first_look', '7')",
    "first look time": "UPDATE value SET json = json_set(json, '$.at', 'then')"
    " WHERE key = 'first_look'",
    "model allowed": "INSERT OR REPLACE INTO value VALUES ('model_allowed', '[]')",
    "model times": "INSERT OR REPLACE INTO value VALUES"
    ' (\'model_allowed\', \'{"task_id": "t", "model_version": 1, "times": "x"}\')',
    "agreed time": "INSERT OR REPLACE INTO value VALUES ('agreed_time', '\"now\"')",
    "charge body": "UPDATE charge SET body = '{}'",
    "charge blob": "UPDATE charge SET body = x'00ff'",
    "outbox time": "UPDATE outbox SET closes_at = 'later'",
    "outbox receipt": "UPDATE outbox SET receipt = 'not json'",
    "outbox settled": "UPDATE outbox SET settled_at = 'then'",
    "outbox bytes": "UPDATE outbox SET body = 'text'",
    "sample features": "UPDATE sample SET features = x'00' WHERE id = 1",
    "sample text": "UPDATE sample SET features = 'text', source = 7 WHERE id = 1",
    "sample time": "UPDATE sample SET added_at = 'now'",
    "no table": "DROP TABLE sample",
    "version": "PRAGMA user_version = 99",
}
COMMANDS = (
    ("status",),
    ("consent", "show"),
    ("settings", "get"),
    ("samples", "list"),
    ("ledger", "--verify"),
    ("pause", "5m"),
    ("export", "{tmp}/export.json"),
    ("samples", "clear"),
    ("settings", "set", "cpu.share_idle", "20"),
)


pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    """A device that has contributed once."""
    device = Device(tmp_path_factory.mktemp("used"))

    async def contribute():
        await device.join()
        await device.run_cycle()

    asyncio.run(contribute())
    assert device.agent.ledger.totals().sent == 1
    device.close()
    return device


@pytest.fixture
def home(used, tmp_path, monkeypatch):
    shutil.copytree(used.home, tmp_path / "home")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("AEGIS_POLICY", str(tmp_path / "none"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    return tmp_path / "home"


def damage(home, statement):
    with closing(sqlite3.connect(home / "agent.sqlite3")) as database, database:
        names = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        for (name,) in names.fetchall():
            database.execute(f"DROP TRIGGER {name}")
        database.execute("PRAGMA ignore_check_constraints = ON")
        database.execute(statement)


@pytest.mark.parametrize("name", DAMAGES)
def test_p11_every_command_ends_in_one_clear_error_or_works(home, name, tmp_path, capsys):
    damage(home, DAMAGES[name])
    for command in COMMANDS:
        words = [word.format(tmp=tmp_path) for word in command]
        code = main([*words, "--home", str(home)])
        said = capsys.readouterr()
        assert code in (0, 1), command
        # `samples list` and the like may fail by their exit code alone.
        assert len(said.err.splitlines()) <= 1, (command, said.err)
        assert "INTERNAL" not in said.err, (command, said.err)
        assert code == 1 or not said.err, (command, said.err)
    assert (home / "agent.sqlite3").exists()


@pytest.mark.parametrize("name", ["setting no json", "charge blob", "enrolment type"])
def test_p11_the_doctor_has_one_clear_error_or_names_what_is_wrong(home, name, capsys):
    damage(home, DAMAGES[name])
    code = main(["doctor", "--home", str(home)])
    said = capsys.readouterr()
    assert len(said.err.splitlines()) == code, said.err
    assert "INTERNAL" not in said.err


@pytest.mark.parametrize("name", DAMAGES)
def test_p2_withdrawing_works_whatever_the_store_holds(home, name, capsys):
    damage(home, DAMAGES[name])
    assert main(["consent", "withdraw", "--home", str(home)]) == 0
    assert capsys.readouterr().err == ""
    switch = (home / "consent-switch").read_bytes()
    assert b" off " in switch


@pytest.mark.parametrize("name", [name for name in DAMAGES if name != "version"])
def test_erasing_works_whatever_the_store_holds(home, name, capsys):
    damage(home, DAMAGES[name])
    code = main(["erase", "--home", str(home), "--json"])
    said = capsys.readouterr()
    if code == 1:
        # Without a keyring the server cannot be asked; nothing may be lost then.
        assert json.loads(said.out)["error"]["code"].startswith(("KEYRING", "PASSPHRASE"))
        return
    if (home / "identity.aead").exists():  # what tells the keyring later which item to remove
        assert json.loads((home / "identity.aead").read_bytes())["sealed"] == ""
    assert main(["status", "--home", str(home), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["consent"]["state"] == "UNASKED"


@pytest.mark.parametrize("name", [name for name in DAMAGES if name.startswith("setting ")])
def test_a_setting_that_cannot_be_read_is_as_strict_as_can_be_until_it_is_set_again(
    home, name, used
):
    damage(home, DAMAGES[name])
    agent = build(home, Overrides(environ=used.environ, key_store=used.keystore))
    try:
        (key,) = agent.effective.unreadable_settings
        entry = agent.effective.settings().entry(key)
        assert any(key in note for note in agent.status().notes)
        agent.effective.set(key, entry.definition.default)
        assert agent.effective.unreadable_settings == ()
    finally:
        agent.close()
