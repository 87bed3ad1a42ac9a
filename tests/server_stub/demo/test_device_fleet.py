"""A simulated device that fails once tries again, because the others of its round wait for it."""

import asyncio
import hashlib
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from agent.errors import PeerError, UserActionError
from agent.rounds.outcome import CycleResult, Outcome
from agent.transport.client import AggregatorClient
from server_stub.demo import device_fleet
from server_stub.demo.device_fleet import (
    DROPPED_OUT,
    MAX_FAILURES,
    DemoClient,
    Device,
    DeviceResult,
    Fleet,
)

SENT = CycleResult(Outcome.SENT, "sent")
OFFLINE = UserActionError("OFFLINE", "The server cannot be reached.", "")


class Ledger:
    def unsent(self):
        return [Unsent(hashlib.sha256(b"old").hexdigest())]


@dataclass
class Unsent:
    sha256: str


class Cycles:
    """Ends its cycles as listed, the last one for ever."""

    def __init__(self, *answers):
        self._answers, self.count = list(answers), 0

    async def run(self, **_):
        self.count += 1
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


async def take_part(monkeypatch, *answers, until=lambda: False):
    """The result of a device with these answers, and how many cycles it ran."""
    monkeypatch.setattr(device_fleet, "AFTER_FAILURE_S", 0)
    monkeypatch.setattr(device_fleet, "RETRY_S", 0)
    device = Device.__new__(Device)
    device.number = 7
    device.agent = SimpleNamespace(cycles=Cycles(*answers), ledger=Ledger())
    return await device.take_part(until=until), device.agent.cycles.count


async def test_a_failed_cycle_is_repeated(monkeypatch):
    result, cycles = await take_part(
        monkeypatch, OFFLINE, CycleResult(Outcome.READY, ""), OFFLINE, SENT
    )
    assert (result.outcome, cycles) == ("sent", 4)


async def test_a_device_that_always_fails_gives_up_and_says_why(monkeypatch):
    result, cycles = await take_part(monkeypatch, PeerError("TASK_CHANGED", "Another task.", ""))
    assert (result.outcome, result.text, cycles) == ("TASK_CHANGED", "Another task.", MAX_FAILURES)


@pytest.mark.parametrize(
    ("answer", "until"),
    [(UserActionError(DROPPED_OUT, "", ""), lambda: False), (OFFLINE, lambda: True)],
    ids=["dropped out", "over"],
)
async def test_a_device_that_dropped_out_or_whose_round_is_over_does_not_try_again(
    monkeypatch, answer, until
):
    _, cycles = await take_part(monkeypatch, answer, SENT, until=until)
    assert cycles == 1


def test_a_device_delivers_updates_of_earlier_rounds_before_it_drops_out(monkeypatch):
    sent = []
    monkeypatch.setattr(AggregatorClient, "send_update", lambda _, body: sent.append(body))
    monkeypatch.setattr(AggregatorClient, "close", lambda _: None)
    client = DemoClient.__new__(DemoClient)
    client.drop_out_before, client.of_earlier_rounds = (
        "masked",
        frozenset({hashlib.sha256(b"old").hexdigest()}),
    )
    client.send_update(b"old")
    with pytest.raises(UserActionError, match="made this device drop out"):
        client.send_update(b"new")
    assert sent == [b"old"]


class FollowingDevice:
    """Takes part as often as it is asked, and stops the fleet after a few rounds."""

    number = 0

    def __init__(self, over, rounds):
        self._over, self._left = over, rounds

    async def take_part(self, **_):
        self._left -= 1
        if not self._left:
            self._over.set()
        return DeviceResult(0, "sent" if self._left % 2 else "no_round")


async def test_a_fleet_follows_rounds_until_it_is_stopped(monkeypatch, tmp_path):
    monkeypatch.setattr(device_fleet, "NO_ROUND_S", 0)
    over, results = asyncio.Event(), []
    fleet = Fleet(tmp_path, ())
    fleet.devices = (FollowingDevice(over, 5),)
    await fleet.follow_rounds(over)
    await fleet.round(on_result=results.append)
    assert over.is_set()
    assert len(results) == 1
