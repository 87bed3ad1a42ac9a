"""A contribution is sealed and checked before it is charged, and charged before it is sent (P4)."""

import contextlib
import sqlite3

import pytest

from agent.errors import InternalError
from agent.protocol import envelope
from tests.fakes.aggregator import FakeClient


def sealing(device, change):
    """Let the device's worker return what `change` makes of the sealed update."""
    seal = device.worker.seal

    async def lie(config, scratch, job_key, attempt):
        return change(await seal(config, scratch, job_key, attempt))

    device.worker.seal = lie


def header_changed(**changes):
    def change(body):
        sealed = envelope.decode(body)
        return envelope.encode({**sealed.header, **changes}, sealed.payload)

    return change


@pytest.mark.parametrize(
    "change",
    [
        header_changed(attempt="00" * 16),
        header_changed(round_id=9),
        header_changed(task_id="another"),
        header_changed(config_digest="00" * 32),
        lambda body: body[:-1],
        lambda _: b"",
        lambda _: bytes(1000),
    ],
    ids=["attempt", "round", "task", "configuration", "cut off", "empty", "garbage"],
)
async def test_p4_an_update_sealed_for_something_else_is_refused_before_the_charge(device, change):
    await device.join()
    sealing(device, change)
    with pytest.raises(InternalError) as raised:
        await device.run_cycle()
    assert raised.value.code == "SEAL_BROKEN"
    assert device.agent.ledger.charges() == []
    assert "send_update" not in device.server.calls


async def test_p4_the_charge_is_durable_before_the_first_byte_leaves(device):
    await device.join()
    seen = []

    class Watched(FakeClient):
        def send_update(self, body, step=None):
            # What another process would find now:
            with contextlib.closing(sqlite3.connect(device.home / "agent.sqlite3")) as database:
                seen.extend(database.execute("SELECT state, body = ? FROM outbox", (body,)))
                seen.extend(database.execute("SELECT count(*) FROM charge"))
            return super().send_update(body, step)

    device.agent.close()
    device.overrides["client_factory"] = lambda *who: Watched(device.server, who[3])
    device.start()
    await device.run_cycle()
    assert seen == [("unsent", True), (1,)]


async def test_every_seal_is_an_attempt_of_its_own(device):
    await device.join()
    for _ in range(3):
        await device.run_cycle()
        device.server.next_round()
    charges = device.agent.ledger.charges()
    assert len({charge.attempt for charge in charges}) == len(charges) == 3
    for charge in charges:
        assert envelope.decode(device.agent.ledger.body(charge.attempt)).header["attempt"] == (
            charge.attempt
        )
