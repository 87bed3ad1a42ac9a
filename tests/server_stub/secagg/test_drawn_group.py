"""A drawn group numbers its devices by their place in the roster, for everything that follows."""

from dataclasses import replace

import pytest

from agent.protocol import codec
from agent.protocol.identities import verify_signature
from tests.fakes.secagg import Fleet, plan


@pytest.fixture(scope="module")
def drawn():
    return Fleet(5, plan(5, min_sum=4)).group().drawn


def test_numbers_and_ids_are_each_others_inverse(drawn):
    assert drawn.size == len(set(drawn.device_ids)) == 5
    assert [drawn.numbers[device_id] for device_id in drawn.device_ids] == list(range(5))


def test_each_key_is_that_of_the_device_with_its_number(drawn):
    for number, advertised in enumerate(drawn.roster.members):
        statement = advertised.statement(drawn.round_context)
        fitting = [
            place
            for place, key in enumerate(drawn.keys)
            if verify_signature(key, advertised.signature, statement)
        ]
        assert fitting == [number]


def test_the_context_is_bound_to_the_round_and_to_the_roster(drawn):
    other_round = replace(drawn, config=replace(drawn.config, round_id=8))
    smaller = replace(drawn.roster, members=drawn.roster.members[:4])
    other_roster = replace(drawn, roster=smaller, keys=drawn.keys[:4])
    assert len({drawn.context, other_round.context, other_roster.context}) == 3
    assert drawn.round_context == other_roster.round_context == codec.round_context(drawn.config)


def test_the_fewest_devices_are_those_that_devices_compute_themselves(drawn):
    assert drawn.min_devices == codec.min_survivors(5, drawn.config) >= drawn.config.min_sum
    assert 5 / 2 < drawn.threshold == codec.threshold(5, drawn.config) <= 5


def test_two_groups_are_never_equal(drawn):
    assert drawn != replace(drawn)
    assert len({drawn, replace(drawn)}) == 2
