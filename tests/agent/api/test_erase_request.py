"""The erase request outlives everything else, and goes once the server has confirmed it."""

import pytest

from agent.api.erase_request import MAX_REQUEST_BYTES, EraseRequests, IdentityLostError
from agent.errors import UserActionError


@pytest.fixture
def requests(device):
    agent = device.agent
    return EraseRequests(
        agent.home,
        agent.clock,
        agent.effective,
        agent.keys,
        agent.gate,
        agent.connections,
        agent.blocking_pool.run,
        agent.signals.changed,
    )


async def test_a_device_that_no_server_knows_has_nothing_to_ask_for(device, requests):
    assert await requests.prepare() is None
    await device.join()
    assert await requests.prepare() is None
    assert await requests.deliver() is True


async def test_a_stored_request_is_delivered_once(device, requests):
    await device.join()
    await device.run_cycle()
    request = await requests.prepare()
    assert request.device_id in device.server.devices.values()
    assert request.erase_secret not in repr(request)
    requests.store(request)
    assert device.agent.home.erase_request.stat().st_mode & 0o777 == 0o600
    await device.call("consent.withdraw", surface="cli")
    assert await requests.deliver() is True
    assert device.server.devices == {}
    assert not device.agent.home.erase_request.exists()


@pytest.mark.parametrize("code", ["KEYRING_LOCKED", "KEYRING_ABSENT", "PASSPHRASE_WRONG"])
async def test_p2_a_key_that_may_open_later_is_not_lost(device, requests, monkeypatch, code):
    await device.join()
    await device.run_cycle()

    def locked(_):
        raise UserActionError(code, "Locked.", "Unlock it.")

    monkeypatch.setattr(device.keystore, "get", locked)
    with pytest.raises(UserActionError) as raised:
        await requests.prepare()
    assert raised.value.code == code


async def test_an_identity_that_nobody_can_open_is_lost(device, requests):
    await device.join()
    await device.run_cycle()
    device.agent.home.identity.write_text("{")
    with pytest.raises(IdentityLostError):
        await requests.prepare()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"server": "x"}', "x" * (MAX_REQUEST_BYTES + 1)], ids=range(5)
)
async def test_p11_an_unreadable_request_is_kept_and_contacts_nobody(device, requests, content):
    device.agent.home.erase_request.write_text(content)
    assert await requests.deliver() is False
    assert device.agent.home.erase_request.read_text() == content
    assert device.server.calls == []
