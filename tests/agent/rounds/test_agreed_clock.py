"""The agreed time survives a restart of the program, and is carried on while the computer runs."""

import pytest

from agent.rounds.agreed_clock import KEY, AgreedClock

DAY_S = 24 * 3600


@pytest.fixture
def agreed(device):
    return AgreedClock(device.clock, device.agent.values)


def test_before_the_first_offer_nothing_is_agreed_on(agreed):
    assert agreed.now() is None
    assert agreed.age_s(0, 0) == agreed.age_s(None, 0) == 0


@pytest.mark.parametrize("damaged", [{"passed_s": "1"}, [], 7, {"passed_s": 1, "signed_at": 2}])
def test_a_damaged_value_counts_as_none(device, agreed, damaged):
    device.agent.values.put(KEY, damaged)
    assert agreed.now() is None
    agreed.note(device.clock.now())
    assert agreed.now() == 0


def test_it_is_durable_and_goes_on_with_the_uptime(device, agreed):
    agreed.note(device.clock.now())
    device.clock.advance(DAY_S)
    agreed.note(device.clock.now())
    device.restart()
    device.clock.advance(30)
    again = AgreedClock(device.clock, device.agent.values)
    assert again.now() == DAY_S + 30
    assert again.age_s(DAY_S, 0) == 30


def test_offers_in_quick_succession_are_not_all_written_down(device, agreed):
    agreed.note(device.clock.now())
    first = device.agent.values.get(KEY)
    device.clock.advance(30)
    agreed.note(device.clock.now())
    assert device.agent.values.get(KEY) == first
    device.clock.advance(30)
    agreed.note(device.clock.now())
    assert device.agent.values.get(KEY) != first


async def test_a_cycle_notes_the_offer_and_stamps_its_charge(device, agreed):
    await device.join()
    await device.run_cycle()
    (charge,) = device.agent.ledger.charges()
    assert charge.agreed_s == agreed.now() == 0
