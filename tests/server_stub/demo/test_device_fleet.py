"""Simulated devices try again after a failure, because the others of their round wait for them, and
drop out exactly where they should.
"""

import asyncio
import hashlib
import os

import numpy as np
import pytest

from agent.errors import UserActionError
from agent.privacy.seal import seal
from server_stub.demo import device_fleet
from server_stub.demo.device_fleet import (
    DROPPED_OUT,
    MAX_FAILURES,
    DemoClient,
    DeviceResult,
    Fleet,
    Traffic,
    run_cycles,
)

SENT = DeviceResult(7, "sent")
READY = DeviceResult(7, "ready")
CLOSED = DeviceResult(7, "round_closed")
OFFLINE = DeviceResult(7, "OFFLINE", "The server cannot be reached.")
DROPPED = DeviceResult(7, DROPPED_OUT)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    for name in ("AFTER_FAILURE_S", "RETRY_S", "NO_ROUND_S"):
        monkeypatch.setattr(device_fleet, name, 0)


async def run(*results, until=lambda: False):
    """The last result of cycles with these results, and how many were run."""
    left = list(results)

    async def run_cycle():
        return left.pop(0)

    return await run_cycles(run_cycle, until), len(results) - len(left)


async def test_a_device_repeats_failed_cycles_and_those_that_are_too_early():
    assert await run(OFFLINE, READY, OFFLINE, CLOSED, SENT, SENT) == (SENT, 5)


async def test_a_device_that_always_fails_gives_up_and_keeps_its_error():
    assert await run(*[OFFLINE] * (MAX_FAILURES + 1)) == (OFFLINE, MAX_FAILURES)


async def test_being_too_early_does_not_count_as_a_failure():
    early = [READY, OFFLINE] * (MAX_FAILURES - 1)
    assert await run(*[READY] * 50, *early, SENT) == (SENT, 50 + len(early) + 1)


@pytest.mark.parametrize(("result", "is_over"), [(DROPPED, False), (OFFLINE, True), (READY, True)])
async def test_a_device_that_dropped_out_or_whose_round_is_over_does_not_try_again(result, is_over):
    assert await run(result, SENT, until=lambda: is_over) == (result, 1)


@pytest.fixture
def client(live):
    """A client of an enrolled device that drops out before it sends its update."""
    enrolled = live.enrol()
    client = DemoClient(
        live.url, live.home.ca_pem, live.signing_key, enrolled.file.load(), meter=Traffic().count
    )
    client.drop_out_before = "masked"
    yield client
    client.close()


def updates(client):
    """An update for the round on offer, and its SHA-256."""
    config = client.offer().round
    body = seal(np.full(config.d, 0.01), config, os.urandom(8).hex())
    return body, hashlib.sha256(body).hexdigest()


def test_a_device_drops_out_before_its_update_and_sends_nothing_more(client, live):
    body, _ = updates(client)
    with pytest.raises(UserActionError, match="made this device drop out"):
        client.send_update(body)
    assert live.view.rounds.get(1).updates == 0
    with pytest.raises(UserActionError):
        client.offer()


def test_a_device_delivers_updates_of_earlier_rounds_before_it_drops_out(client, live):
    body, digest = updates(client)
    client.of_earlier_rounds = frozenset({digest})
    assert client.send_update(body).body_sha256 == digest
    assert live.view.rounds.get(1).updates == 1


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


async def test_a_fleet_follows_rounds_until_it_is_stopped(tmp_path):
    over, results = asyncio.Event(), []
    fleet = Fleet(tmp_path, ())
    fleet.devices = (FollowingDevice(over, 5),)
    await fleet.follow_rounds(over)
    await fleet.round(on_result=results.append)
    assert over.is_set()
    assert len(results) == 1


class DroppingDevice:
    """Reports before which message it was asked to drop out."""

    def __init__(self, number):
        self.number = number

    async def take_part(self, *, until, drop_out_before):
        return DeviceResult(self.number, drop_out_before or "sent")


async def test_each_device_of_a_round_drops_out_where_the_round_says(tmp_path):
    fleet = Fleet(tmp_path, ())
    fleet.devices = tuple(DroppingDevice(number) for number in range(3))
    results = await fleet.round({1: "masked"})
    assert [result.outcome for result in results] == ["sent", "masked", "sent"]


async def test_a_fleet_without_devices_has_no_traffic_and_spent_nothing(tmp_path):
    with Fleet(tmp_path, ()) as fleet:
        assert fleet.traffic() == Traffic(0, 0)
        assert fleet.ledgers() == ()
