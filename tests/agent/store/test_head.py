"""A ledger that was set back is detected and counts as spent."""

import json
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


def back_up(device, name):
    for path in device.agent.database.files():
        if path.exists():
            shutil.copy(path, path.with_name(f"{path.name}.{name}"))


def restore(device, name):
    for path in device.agent.database.files():
        path.unlink(missing_ok=True)
        old = path.with_name(f"{path.name}.{name}")
        if old.exists():
            shutil.copy(old, path)


async def take_part(device, rounds):
    for _ in range(rounds):
        assert (await device.run_cycle()).outcome is Outcome.SENT
        device.server.next_round()


async def assert_spent(device, code="LEDGER_SET_BACK"):
    with pytest.raises(UserActionError) as raised:
        await device.run_cycle()
    assert raised.value.code == code
    status = await device.call("status")
    shown = "LEDGER_FORKED" if code == "LEDGER_FORKED" else "BUDGET_SPENT"
    assert shown in [reason["code"] for reason in status["reasons"]]
    assert status["budget"]["epsilon_ledger"] == status["budget"]["epsilon_period"]
    assert (await device.call("ledger", verify=True))["verified"] is False


async def test_p5_an_old_copy_of_the_database_counts_as_spent(device):
    await device.join()
    await take_part(device, 1)
    stop(device)
    back_up(device, "old")
    device.start()
    await take_part(device, 2)
    stop(device)
    restore(device, "old")
    device.start()
    sent = len(device.server.updates)
    await assert_spent(device)
    assert len(device.server.updates) == sent


async def test_p5_the_head_of_another_history_counts_as_spent(device):
    await device.join()
    await take_part(device, 1)
    first = device.agent.home.ledger_head.read_bytes()
    await device.call("erase")
    device.server.tokens.clear()
    await device.join()
    device.clock.advance(5)
    await take_part(device, 1)
    device.agent.home.ledger_head.write_bytes(first)
    await assert_spent(device)


async def test_p5_a_removed_head_counts_as_spent(device):
    await device.join()
    await take_part(device, 1)
    device.agent.home.ledger_head.unlink()
    await assert_spent(device, "LEDGER_MISSING")


async def test_p5_a_head_without_its_tag_counts_as_spent(device):
    await device.join()
    await take_part(device, 2)
    path = device.agent.home.ledger_head
    head = json.loads(path.read_text())
    seal = device.agent.ledger.sealed.shown(1).heads[0]
    path.write_text(json.dumps({**head, "charges": 1, "seal": seal}))
    await assert_spent(device)


async def test_p10_a_crash_between_the_charge_and_the_head_proves_nothing(device):
    await device.join()
    await take_part(device, 1)
    recorded = device.agent.home.ledger_head.read_bytes()
    await take_part(device, 1)
    device.agent.home.ledger_head.write_bytes(recorded)
    device.restart()
    await take_part(device, 1)


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b'{"charges": "x", "hash": ""}', b'{"charges": -1, "hash": ""}'],
    ids=range(5),
)
async def test_p11_an_unreadable_head_counts_as_spent(device, content):
    await device.join()
    await take_part(device, 1)
    device.agent.home.ledger_head.write_bytes(content)
    await assert_spent(device)


async def test_p5_the_whole_home_set_back_is_noticed_by_the_server_that_holds_the_update(device):
    await device.join()
    await take_part(device, 1)
    head = device.agent.home.ledger_head.read_bytes()
    stop(device)
    back_up(device, "old")
    device.start()
    assert (await device.run_cycle()).outcome is Outcome.SENT
    stop(device)
    restore(device, "old")
    device.agent.home.ledger_head.write_bytes(head)
    device.start()
    device.worker.calls.clear()
    await assert_spent(device, "LEDGER_FORKED")
    device.server.next_round()
    await assert_spent(device, "LEDGER_FORKED")
    assert device.worker.calls == []


async def test_erasing_begins_a_new_ledger(device):
    await device.join()
    await take_part(device, 1)
    await device.call("erase")
    assert not device.agent.home.ledger_head.exists()
