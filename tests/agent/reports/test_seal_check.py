"""`aegis ledger --verify` checks the seals with the key, and says so where it has none."""

import sqlite3
from contextlib import closing

from agent.errors import UserActionError


def locked(_):
    raise UserActionError("KEYRING_LOCKED", "The keyring is locked.", "Unlock it.")


async def verified(device):
    page = await device.call("ledger", verify=True)
    return page["verified"], page["seal"]["verified"], page["seal"]["note"]


async def test_a_device_without_a_key_has_nothing_to_check(device):
    await device.join()
    assert await verified(device) == (True, False, "This device has no key yet.")


async def test_the_seals_are_checked_with_the_key(device):
    await device.join()
    await device.run_cycle()
    device.restart()
    assert (await device.call("ledger"))["seal"]["verified"] is False
    assert await verified(device) == (True, True, "")
    assert (await device.call("status"))["budget"]["verified"] is True


async def test_a_locked_key_store_is_named_and_is_no_failure(device, monkeypatch):
    await device.join()
    await device.run_cycle()
    device.restart()
    monkeypatch.setattr(device.keystore, "get", locked)
    assert await verified(device) == (True, False, "The keyring is locked. Unlock it.")
    assert (await device.call("status"))["budget"]["verified"] is False


async def test_without_consent_the_key_store_is_not_asked(device, monkeypatch):
    await device.join()
    await device.run_cycle()
    await device.call("consent.withdraw", surface="cli")
    device.restart()
    monkeypatch.setattr(device.keystore, "get", lambda _: 1 / 0)
    assert await verified(device) == (True, False, "Without your consent the key stays locked.")


async def test_p5_what_the_check_finds_shows_in_the_status(device):
    await device.join()
    await device.run_cycle()
    device.agent.close()
    with closing(sqlite3.connect(device.home / "agent.sqlite3")) as raw:
        raw.execute("UPDATE charge_seal SET seal = 'ff' WHERE seq = 1")
        raw.commit()
    device.start()
    assert (await verified(device))[:2] == (False, False)
    status = await device.call("status")
    assert "BUDGET_SPENT" in [reason["code"] for reason in status["reasons"]]
    assert status["budget"]["epsilon_ledger"] == status["budget"]["epsilon_period"]
