"""Devices whose groups are bad too often are named, and honest ones are not."""

import numpy as np
import pytest

from server_stub.validation.suspicion import (
    FIT,
    NAMED,
    NOBODY,
    GroupTest,
    Suspicion,
    named,
    suspicion,
)


def rounds_of(seed, rounds, *, devices=400, size=32, attackers=(), amplitude=6.0, jitter=None):
    """Rounds that draw the groups anew; each attacker moves its group by `amplitude`."""
    draw = np.random.default_rng(seed)
    found = []
    for number in range(rounds):
        order = draw.permutation(devices)
        push = amplitude if jitter is None else jitter[number % len(jitter)]
        tests = []
        for members in np.array_split(order, devices // size):
            count = len(set(members.tolist()) & set(attackers))
            value = 0.7 + draw.normal() - push * count
            tests.append(GroupTest(tuple(f"device-{one}" for one in members), float(value)))
        found.append(tuple(tests))
    return found


def ids(*numbers):
    return {f"device-{one}" for one in numbers}


@pytest.mark.parametrize("seed", range(3))
def test_attackers_are_named_and_nobody_else(seed):
    found = suspicion(rounds_of(seed, 14, attackers=(3, 77)))
    assert found.suspects == ids(3, 77)
    assert found.fit < FIT
    assert found.amplitudes[0] == pytest.approx(-6, abs=2)


def test_an_attacker_that_pauses_is_named_all_the_same():
    found = suspicion(rounds_of(4, 24, attackers=(5,), jitter=(6.0, 0.0)))
    assert found.suspects == ids(5)


@pytest.mark.parametrize("seed", range(4))
def test_among_honest_devices_nobody_is_named(seed):
    assert suspicion(rounds_of(seed, 20)).suspects == frozenset()


def test_an_attack_within_the_noise_names_nobody():
    assert suspicion(rounds_of(6, 20, attackers=(1, 2), amplitude=0.3)).suspects == frozenset()


def test_with_few_groups_nobody_is_judged():
    assert suspicion(rounds_of(7, 20, devices=300, attackers=(1,))) is NOBODY
    assert suspicion([]) is NOBODY
    assert NOBODY.suspects == frozenset()


def test_a_model_that_does_not_fit_names_nobody():
    assert Suspicion({"device-1": NAMED + 5}, FIT, ()).suspects == frozenset()


def test_a_device_is_named_only_when_it_is_suspect_twice():
    rounds = rounds_of(8, 15, attackers=(3,))
    before, now = suspicion(rounds[:-1]), suspicion(rounds)
    assert named(before, now) == ids(3)
    assert named(NOBODY, now) == frozenset()
