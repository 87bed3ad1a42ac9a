"""Settings are read and changed; the key store is chosen before joining only."""

import pytest

from agent.app import Overrides, build
from agent.errors import AegisError, UserActionError
from tests.fakes.device import policy_of_tests


async def test_the_key_store_is_chosen_before_joining_only(tmp_path):
    agent = build(
        tmp_path / "home", Overrides(environ={}, policy_place=policy_of_tests(tmp_path / "none"))
    )
    assert agent.keys.key_store().describe().kind != "credential"
    await agent.service.call("settings.set", {"key": "key_store", "value": "credential"})
    assert agent.keys.key_store().describe().kind == "credential"
    agent.home.identity.write_text("a remnant")
    await agent.service.call("settings.set", {"key": "key_store", "value": "os"})
    assert not agent.keys.has_identity()
    agent.close()


async def test_the_key_store_of_an_enrolled_device_stays(device):
    await device.join()
    await device.run_cycle()
    with pytest.raises(AegisError) as raised:
        await device.call("settings.set", key="key_store", value="credential")
    assert raised.value.code == "ALREADY_ENROLLED"
    assert device.agent.keys.has_identity()


async def test_p11_a_key_store_that_does_not_exist_costs_no_identity(device):
    await device.join()
    device.server.fail("register", UserActionError("OFFLINE", "", ""))
    with pytest.raises(UserActionError):
        await device.run_cycle()
    assert device.agent.keys.has_identity()
    with pytest.raises(UserActionError) as raised:
        await device.call("settings.set", key="key_store", value="nonsense")
    assert raised.value.code == "BAD_VALUE"
    assert device.agent.keys.has_identity()


async def test_one_setting_or_all_are_read(device):
    (one,) = (await device.call("settings.get", key="hold.minutes"))["settings"]
    every = (await device.call("settings.get"))["settings"]
    assert one in every
    assert len(every) > 20


async def test_a_changed_setting_is_returned_and_survives_a_restart(device):
    changed = await device.call("settings.set", key="hold.minutes", value="25")
    assert (changed["key"], changed["value"]) == ("hold.minutes", 25)
    device.restart()
    assert device.agent.effective.settings().integer("hold.minutes") == 25


async def test_only_the_unlock_button_unlocks_the_key_store(device, monkeypatch):
    unlocked = []
    monkeypatch.setattr(device.keystore, "unlock", lambda: unlocked.append(1))
    await device.join()
    await device.run_cycle()
    assert unlocked == []
    assert (await device.call("unlock"))["state"] == "waiting"
    assert unlocked == [1]
