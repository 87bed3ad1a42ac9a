"""A simulated device that has bad luck is not missed for good: the others of its round wait for
it.
"""

import asyncio
import hashlib
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from agent.errors import PeerError, UserActionError
from agent.rounds.outcome import CycleResult, Outcome
from agent.transport.client import AggregatorClient
from server_stub.demo import device_fleet
from server_stub.demo.device_fleet import TRIES, VANISHED, DemoClient, Device

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
        self._answers, self.passes = list(answers), 0

    async def run(self, **_):
        self.passes += 1
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def part(monkeypatch, *answers, until=lambda: False):
    monkeypatch.setattr(device_fleet, "AFTER_FAULT_S", 0)
    monkeypatch.setattr(device_fleet, "AGAIN_S", 0)
    device = Device.__new__(Device)
    device.number = 7
    device.agent = SimpleNamespace(cycles=Cycles(*answers), ledger=Ledger())
    return asyncio.run(device.take_part(until=until)), device.agent.cycles.passes


def test_a_pass_that_failed_is_made_again(monkeypatch):
    made, passes = part(monkeypatch, OFFLINE, CycleResult(Outcome.READY, ""), OFFLINE, SENT)
    assert (made.outcome, passes) == ("sent", 4)


def test_one_that_always_fails_is_given_up_and_says_why(monkeypatch):
    made, passes = part(monkeypatch, PeerError("TASK_CHANGED", "Another task.", ""))
    assert (made.outcome, made.text, passes) == ("TASK_CHANGED", "Another task.", TRIES)


@pytest.mark.parametrize(
    ("answer", "until"),
    [(UserActionError(VANISHED, "", ""), lambda: False), (OFFLINE, lambda: True)],
    ids=["gone", "over"],
)
def test_one_that_was_taken_away_or_whose_round_is_over_does_not_try_again(
    monkeypatch, answer, until
):
    assert part(monkeypatch, answer, SENT, until=until)[1] == 1


def test_one_that_is_to_vanish_first_settles_what_it_left_behind_in_an_earlier_round(monkeypatch):
    sent = []
    monkeypatch.setattr(AggregatorClient, "send_update", lambda _, body: sent.append(body))
    monkeypatch.setattr(AggregatorClient, "close", lambda _: None)
    client = DemoClient.__new__(DemoClient)
    client.vanish_before, client.of_earlier_rounds = (
        "masked",
        frozenset({hashlib.sha256(b"old").hexdigest()}),
    )
    client.send_update(b"old")
    with pytest.raises(UserActionError, match="took this device away"):
        client.send_update(b"new")
    assert sent == [b"old"]
