"""Erasing works at once, offline too, and asks the server until it confirms (P2, C18)."""

import json

import pytest

from agent.errors import UserActionError
from tests.fakes.device import Device

NOBODY_KNEW = {"pending": False, "registered": False, "server_cannot_be_told": False}


@pytest.fixture
def device(tmp_path):
    device = Device(tmp_path)
    yield device
    device.close()


def offline():
    return UserActionError("OFFLINE", "The server cannot be reached.", "Check the network.")


def locked(*_, **__):
    raise UserActionError("KEYRING_LOCKED", "The keyring is locked.", "Unlock it.")


def absent(*_, **__):
    raise UserActionError("KEYRING_ABSENT", "There is no keyring.", "Start one.")


def files_of(device):
    return {path.name for path in device.home.rglob("*") if path.is_file()}


async def test_erase_forgets_everything_here_and_there_and_twice_is_fine(device):
    await device.join()
    await device.run_cycle()
    assert await device.call("erase") == {
        "pending": False,
        "registered": True,
        "server_cannot_be_told": False,
    }
    assert device.server.devices == {}
    assert device.keystore.names == set()
    left = {path.name for path in device.home.rglob("*") if path.is_file()}
    assert left <= {"agent.sqlite3", "agent.sqlite3-wal", "agent.sqlite3-shm", "lock"}
    status = await device.call("status")
    assert (status["consent"]["state"], status["enrolled"], status["sent"]["count"]) == (
        "UNASKED",
        False,
        0,
    )
    assert await device.call("erase") == NOBODY_KNEW


async def test_p2_a_device_that_never_registered_claims_no_erasure_at_a_server(device):
    assert await device.call("erase") == NOBODY_KNEW
    await device.join()
    assert await device.call("erase") == NOBODY_KNEW
    assert device.server.calls == []


async def test_a_waiting_request_knows_its_proxy_and_nothing_else_does(device):
    await device.join()
    await device.run_cycle()
    await device.call("settings.set", key="network.proxy", value="http://proxy.example:3128")
    device.server.fail("erase_by_secret", offline())
    assert (await device.call("erase"))["pending"] is True
    assert (
        json.loads(device.agent.home.erase_request.read_bytes())["proxy"]
        == "http://proxy.example:3128"
    )
    assert device.agent.effective.settings().text("network.proxy") == ""


async def test_erase_works_offline_and_is_retried_visibly(device):
    await device.join()
    await device.run_cycle()
    device.server.fail("erase_by_secret", offline())
    assert (await device.call("erase"))["pending"] is True
    assert not device.agent.keys.has_identity()
    device.restart()
    status = await device.call("status")
    assert status["erase_pending"] is True
    assert any("erase" in note for note in status["notes"])
    device.server.fail("erase_by_secret", None)
    assert await device.call("erase") == {
        "pending": False,
        "registered": True,
        "server_cannot_be_told": False,
    }
    assert device.server.devices == {}
    assert (await device.call("status"))["erase_pending"] is False


async def test_p2_a_second_erasure_does_not_forget_the_first_one(device):
    """A person joined again before the server heard of the first erasure."""
    for _ in range(2):
        device.server.tokens = {"one-time-token": None}
        await device.join()
        await device.run_cycle()
        device.server.fail("erase_by_secret", offline())
        assert (await device.call("erase"))["pending"] is True
        device.server.fail("erase_by_secret", None)
    assert len(device.server.devices) == 2
    device.restart()
    assert (await device.call("erase"))["pending"] is False
    assert device.server.devices == {}


@pytest.mark.parametrize(
    "code",
    [
        "KEYRING_LOCKED",
        "KEYRING_ITEM_LOCKED",
        "KEYRING_NO_DEFAULT",
        "KEYRING_ABSENT",
        "KEYRING_TIMEOUT",
        "KEYRING_DENIED",
        "PASSPHRASE_MISSING",
        "PASSPHRASE_WRONG",
        "CREDENTIAL_WRONG",
    ],
)
async def test_p2_a_key_that_cannot_be_read_now_stops_an_erase_before_anything_is_gone(
    device, monkeypatch, code
):
    await device.join()
    await device.run_cycle()

    def closed(_):
        raise UserActionError(code, "Closed.", "Open it.")

    monkeypatch.setattr(device.keystore, "get", closed)
    before = files_of(device)
    with pytest.raises(UserActionError, match="aegis erase --here-only") as raised:
        await device.call("erase")
    assert raised.value.code == code
    assert files_of(device) == before
    status = await device.call("status")
    assert (status["consent"]["state"], status["sent"]["count"]) == ("GRANTED", 1)
    monkeypatch.undo()
    assert (await device.call("erase"))["pending"] is False
    assert device.server.devices == {}


async def test_here_only_erases_without_a_keyring_and_says_what_stays(device, monkeypatch):
    await device.join()
    await device.run_cycle()
    monkeypatch.setattr(device.keystore, "get", absent)
    monkeypatch.setattr(device.keystore, "delete", absent)
    assert await device.call("erase", here_only=True) == {
        "pending": True,
        "registered": True,
        "server_cannot_be_told": True,
    }
    assert (await device.call("status"))["consent"]["state"] == "UNASKED"
    monkeypatch.undo()
    assert (await device.call("erase"))["pending"] is False
    assert device.keystore.names == set()


async def test_only_the_persons_erase_lets_a_keyring_ask_for_a_confirmation(device, monkeypatch):
    await device.join()
    await device.run_cycle()
    allowed, answers = [], ["no", "no", "yes"]

    def confirmed(name, *, may_prompt=False):
        allowed.append(may_prompt)
        if not may_prompt or answers.pop(0) == "no":
            raise UserActionError("KEYRING_ITEM_LOCKED", "It asks.", "Answer.")
        type(device.keystore).delete(device.keystore, name)

    monkeypatch.setattr(device.keystore, "delete", confirmed)
    assert (await device.call("erase"))["pending"] is True
    assert allowed == [False, True, False]
    assert await device.agent.resume_erasure() is False
    assert (await device.call("erase"))["pending"] is True
    assert (await device.call("erase"))["pending"] is False
    assert device.keystore.names == set()


async def test_p10_an_erase_that_was_killed_half_way_is_finished_at_the_next_start(
    device, monkeypatch
):
    await device.join()
    await device.run_cycle()

    def killed(_):
        raise ZeroDivisionError

    monkeypatch.setattr("agent.api.local_data.LocalData.remove", killed)
    with pytest.raises(ZeroDivisionError):
        await device.call("erase")
    monkeypatch.undo()
    device.restart()
    assert "identity.aead" not in files_of(device)
    status = device.agent.status()
    assert (status.consent.state.value, status.erase_pending, status.sent.count) == (
        "UNASKED",
        True,
        0,
    )


async def test_p10_what_a_killed_write_left_neither_stops_an_erase_nor_outlives_it(device):
    await device.join()
    await device.run_cycle()
    (device.home / "models" / ".a.safetensors.4711.0a1b2c3d").write_bytes(b"half a model")
    (device.home / ".erase.pending.4711.0a1b2c3d").write_bytes(b"half a request")
    await device.call("erase")
    device.restart()
    await device.join()
    assert not [name for name in files_of(device) if name.endswith("0a1b2c3d")]


def test_p10_an_erase_that_cannot_be_finished_at_the_start_is_one_clear_sentence(
    device, monkeypatch
):
    device.agent.values.put("erasing", True)
    monkeypatch.setattr(
        "agent.api.local_data.LocalData.remove",
        lambda _: (_ for _ in ()).throw(OSError(13, "Permission denied")),
    )
    with pytest.raises(UserActionError) as raised:
        device.restart()
    assert raised.value.code == "HOME_UNUSABLE"
    monkeypatch.undo()
    device.start()
    assert device.agent.values.get("erasing") is None


async def unregistered(device):
    """A device whose registration failed: it has a key that no server knows."""
    await device.join()
    device.server.fail("register", offline())
    with pytest.raises(UserActionError):
        await device.run_cycle()
    assert device.agent.keys.has_identity()


async def test_p2_a_locked_keyring_under_a_failed_registration_is_asked_again_until_nothing_is_left(
    device, monkeypatch
):
    await unregistered(device)
    monkeypatch.setattr(device.keystore, "delete", locked)
    assert (await device.call("erase"))["pending"] is True
    assert b'"sealed":""' in (device.home / "identity.aead").read_bytes()
    device.restart()
    assert await device.agent.resume_erasure() is False
    monkeypatch.undo()
    assert await device.agent.resume_erasure() is True
    assert device.keystore.names == set()
    assert not device.agent.keys.has_identity()


async def test_only_what_an_erase_left_of_an_identity_is_removed_later(device):
    await unregistered(device)
    assert await device.agent.resume_erasure() is True
    device.agent.database.recreate()  # as when the person lost the store
    device.agent.effective.reload()
    assert await device.agent.resume_erasure() is True
    assert device.agent.keys.has_identity()


async def test_on_a_full_disk_the_key_goes_without_a_remnant(device, monkeypatch):
    await unregistered(device)
    monkeypatch.setattr(
        "agent.files.atomic_file.write",
        lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")),
    )
    assert (await device.call("erase"))["pending"] is False
    assert device.keystore.names == set()


async def test_an_unreadable_request_is_kept_and_breaks_nothing(device):
    device.agent.home.erase_request.write_text("{")
    assert (await device.call("erase"))["pending"] is True
