"""What a round's record and configuration say about a group."""

from types import SimpleNamespace

import numpy as np
import pytest

from agent.detector.model import to_safetensors, zeros
from agent.privacy.zcdp import epsilon
from server_stub.demo.device_fleet import DeviceResult, Traffic
from server_stub.demo.evaluation import evaluate_chances
from server_stub.demo.plan import LOGISTIC, DemoPlan
from server_stub.demo.rounds import GROUP_FIELDS, group_result, noise_of_sum, run_rounds
from server_stub.rounds.lifecycle import State
from tests.fakes.secagg import plan


def test_the_noise_of_a_sum_is_that_of_independent_devices_in_clipping_norms():
    config = plan(10)
    one = noise_of_sum(config, 1)
    assert one == pytest.approx(config.noise_var**0.5 * float(config.grid) / float(config.clip))
    assert noise_of_sum(config, 9) == pytest.approx(3 * one)
    assert noise_of_sum(config, 0) == 0


def test_a_group_of_the_record_keeps_its_fields_and_gets_its_noise():
    record = dict.fromkeys(GROUP_FIELDS, 4) | {"state": "done", "failure": "", "blamed": {}}
    config = plan(10)
    result = group_result(record, config)
    assert (result.size, result.state, result.m) == (4, "done", 4)
    assert result.noise_sd == noise_of_sum(config, 4)


class Server:
    """Every round of it is done."""

    def __init__(self):
        self._round = SimpleNamespace(state=State.DONE, updates=2, config=plan(10), record={})

    async def open_round(self):
        return self._round

    async def finished(self, number, seconds):
        return self._round

    def round(self, number):
        return self._round

    def invitation(self, uses):
        return ""

    def model(self):
        return SimpleNamespace(content=to_safetensors(zeros(), demonstration=True))


class Fleet:
    """One device, which pays 100 units a round."""

    devices = (0,)

    def __init__(self):
        self._rounds = 0

    async def join(self, invitation, advance):
        advance()

    async def round(self, drop_outs, until, on_result):
        self._rounds += 1
        on_result(DeviceResult(0, "sent"))
        return (DeviceResult(0, "sent"),)

    def traffic(self):
        return Traffic(1, 1)

    def ledgers(self):
        return ((self._rounds * 2**30, self._rounds * 2**34),)


class FullAgent:
    """Pays twice in each round, as after a group that failed late."""

    def __init__(self):
        self._rounds = 0

    async def take_part(self, sent_before, until):
        self._rounds += 1
        return ""

    def rho_units(self):
        return self._rounds * 2**31, self._rounds * 2**33


class Screen:
    def start_step(self, text, parts=0):
        pass

    def advance(self):
        pass

    def show_round(self, result, rounds):
        pass


def test_p5_the_full_agents_ledger_counts_in_every_round_and_in_the_report():
    """The report said 0.967 once, while the full agent's ledger had 1.040."""
    demo = DemoPlan(devices=2, rounds=2, epsilon=1.0, mode="local", family=LOGISTIC)
    seen = evaluate_chances(np.arange(4) % 2, np.full(4, 0.5))
    done = run_rounds(demo, Server(), Fleet(), FullAgent(), lambda _: seen, Screen())
    assert [result.epsilon for result in done.results] == [
        epsilon(2**31, demo.delta),
        epsilon(2**32, demo.delta),
    ]
    assert done.spending.epsilon == epsilon(2**32, demo.delta)
    assert done.spending.epsilon_local == epsilon(2**35, demo.delta)
