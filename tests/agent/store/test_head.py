"""A ledger that was set back is found out and counts as spent."""

import asyncio
import shutil

import pytest

from agent.errors import UserActionError
from agent.rounds.outcome import Outcome
from tests.fakes.device import Device


@pytest.fixture
def device(tmp_path):
    device = Device(tmp_path)
    yield device
    device.close()


def stop(device):
    device.agent.close()


def keep(device, name):
    for path in device.agent.database.files():
        if path.exists():
            shutil.copy(path, path.with_name(f"{path.name}.{name}"))


def bring_back(device, name):
    for path in device.agent.database.files():
        path.unlink(missing_ok=True)
        old = path.with_name(f"{path.name}.{name}")
        if old.exists():
            shutil.copy(old, path)


def give(device, rounds):
    for _ in range(rounds):
        assert (asyncio.run(device.run_cycle())).outcome is Outcome.SENT
        device.server.next_round()


def refuses(device):
    with pytest.raises(UserActionError) as raised:
        asyncio.run(device.run_cycle())
    assert raised.value.code == "LEDGER_SET_BACK"
    status = asyncio.run(device.call("status"))
    assert "BUDGET_SPENT" in [reason["code"] for reason in status["reasons"]]
    assert status["budget"]["epsilon_ledger"] == status["budget"]["epsilon_period"]
    assert asyncio.run(device.call("ledger", verify=True))["verified"] is False


def test_p5_an_old_copy_of_the_database_counts_as_spent(device):
    asyncio.run(device.join())
    give(device, 1)
    stop(device)
    keep(device, "old")
    device.start()
    give(device, 2)
    stop(device)
    bring_back(device, "old")
    device.start()
    sent = len(device.server.updates)
    refuses(device)
    assert len(device.server.updates) == sent


def test_p5_another_history_of_the_same_length_counts_as_spent(device):
    asyncio.run(device.join())
    stop(device)
    keep(device, "empty")
    device.start()
    give(device, 1)
    first = device.agent.home.ledger_head.read_bytes()
    stop(device)
    bring_back(device, "empty")
    device.agent.home.ledger_head.unlink()
    device.start()
    device.clock.advance(5)
    give(device, 1)
    device.agent.home.ledger_head.write_bytes(first)
    refuses(device)


def test_p10_a_crash_between_the_charge_and_the_note_is_no_sign_of_anything(device):
    asyncio.run(device.join())
    give(device, 1)
    noted = device.agent.home.ledger_head.read_bytes()
    give(device, 1)
    device.agent.home.ledger_head.write_bytes(noted)
    device.restart()
    give(device, 1)


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b'{"charges": "x", "hash": ""}', b'{"charges": -1, "hash": ""}'],
    ids=range(5),
)
def test_p11_a_note_that_cannot_be_read_counts_as_spent(device, content):
    asyncio.run(device.join())
    give(device, 1)
    device.agent.home.ledger_head.write_bytes(content)
    refuses(device)


def test_p5_the_whole_home_set_back_is_noticed_by_the_server_that_holds_the_update(device):
    asyncio.run(device.join())
    stop(device)
    keep(device, "old")
    device.start()
    assert asyncio.run(device.run_cycle()).outcome is Outcome.SENT
    stop(device)
    bring_back(device, "old")
    device.agent.home.ledger_head.unlink()
    device.start()
    device.worker.calls.clear()
    refuses(device)
    device.server.next_round()
    refuses(device)
    assert device.worker.calls == []


def test_erasing_begins_a_new_ledger(device):
    asyncio.run(device.join())
    give(device, 1)
    asyncio.run(device.call("erase"))
    assert not device.agent.home.ledger_head.exists()
