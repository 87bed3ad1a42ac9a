"""A notice of leaving is sent once, over its own connection, and nothing depends on it."""

import asyncio
import logging
import threading

import pytest

from agent.errors import UserActionError
from agent.rounds.leave_sender import LeaveNotice, LeaveSender
from tests.fakes.aggregator import FakeClient


class Leaves:
    """Connections that accept `leave`; `error` makes it fail, `gate` makes it wait."""

    def __init__(self, server):
        self.server = server
        self.received = []
        self.open = 0
        self.error = None
        self.gate = None

    def client(self, *arguments):
        leaves = self
        leaves.open += 1

        class Client(FakeClient):
            def send_phase(self, round_id, phase, body):
                assert phase == "leave"
                if leaves.gate is not None:
                    assert leaves.gate.wait(60)
                if leaves.error is not None:
                    raise leaves.error
                leaves.received.append((self.identity.device_id, round_id, body))

            def close(self, *, for_good=True):
                leaves.open -= for_good

        return Client(self.server, arguments[3])


@pytest.fixture
async def leaves(device):
    """A registered device whose connections are counted."""
    counted = Leaves(device.server)
    device.agent.close()
    device.overrides["client_factory"] = counted.client
    device.start()
    await device.join()
    await device.run_cycle()
    return counted


@pytest.fixture
def sender(device, leaves):
    agent = device.agent
    return LeaveSender(agent.gate, agent.enrolment_client, agent.blocking_pool.run)


@pytest.fixture
def notice(device, leaves):
    return LeaveNotice(7, b"a code", device.agent.keys.identity_file().load())


async def test_a_notice_is_sent_once_and_its_connection_is_closed(leaves, sender, notice):
    sender.send_soon(notice)
    await sender.flush(60)
    assert leaves.received == [(notice.identity.device_id, 7, b"a code")]
    assert leaves.open == 0


async def test_p2_a_notice_is_sent_after_the_withdrawal_that_caused_it(
    device, leaves, sender, notice
):
    await device.call("consent.withdraw", surface="tray")
    sender.send_soon(notice)
    await sender.flush(60)
    assert len(leaves.received) == 1


async def test_a_notice_that_cannot_be_sent_is_logged_and_lost(leaves, sender, notice, caplog):
    leaves.error = UserActionError("OFFLINE", "The server cannot be reached.", "")
    with caplog.at_level(logging.INFO):
        sender.send_soon(notice)
        await sender.flush(60)
    assert [record.message for record in caplog.records] == ["round.leave_lost code=OFFLINE"]
    assert (leaves.received, leaves.open) == ([], 0)


async def test_a_flush_waits_no_longer_than_its_timeout(leaves, sender, notice):
    leaves.gate = threading.Event()
    sender.send_soon(notice)
    async with asyncio.timeout(60):
        await sender.flush(0.001)
    assert leaves.received == []
    leaves.gate.set()
    await sender.flush(60)
    assert len(leaves.received) == 1


async def test_a_flush_without_notices_ends_at_once(sender):
    async with asyncio.timeout(60):
        await sender.flush(10_000)


def test_p12_a_notice_in_a_log_does_not_show_the_identity(notice):
    assert notice.identity.erase_secret not in repr(notice)
    assert "identity" not in repr(notice)
