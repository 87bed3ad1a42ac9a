"""1, 2, 4, … rounds, up to a ceiling; forgotten after a time; ended by hand, rounds or days."""

import pytest

from server_stub.quarantine.exclusion import (
    DAY_S,
    MEMORY_S,
    MOST_ROUNDS,
    Exclusion,
    longest,
    rounds_out,
)

NOW = 1_800_000_000


def exclusion(round_id=5, rounds=2, found_at=NOW, released_at=None):
    return Exclusion("one", "SECRET_FALSE", round_id, found_at, rounds, released_at)


def test_each_proof_doubles_the_rounds_up_to_the_ceiling():
    earlier, counts = [], []
    for number in range(9):
        counts.append(rounds_out(earlier, NOW))
        earlier.append(exclusion(number, counts[-1]))
    assert counts == [1, 2, 4, 8, 16, 32, 64, MOST_ROUNDS, MOST_ROUNDS]
    assert rounds_out([exclusion()] * 10_000, NOW) == MOST_ROUNDS


def test_an_old_or_released_proof_no_longer_counts():
    assert rounds_out([exclusion(found_at=NOW - MEMORY_S + 1)], NOW) == 2
    assert rounds_out([exclusion(found_at=NOW - MEMORY_S)], NOW) == 1
    assert rounds_out([exclusion(released_at=NOW)], NOW) == 1


@pytest.mark.parametrize(
    ("round_id", "is_out"), [(4, False), (5, False), (6, True), (7, True), (8, False)]
)
def test_the_device_misses_the_rounds_after_the_one_of_the_proof(round_id, is_out):
    assert exclusion().is_active(round_id, NOW) is is_out


def test_it_ends_after_as_many_days_if_rounds_are_rare():
    assert exclusion().is_active(6, NOW + 2 * DAY_S - 1)
    assert not exclusion().is_active(6, NOW + 2 * DAY_S)


def test_a_release_ends_it():
    assert not exclusion(released_at=NOW).is_active(6, NOW)


def test_the_longest_exclusion_counts():
    one, other = exclusion(rounds=4), exclusion(round_id=6, rounds=1)
    assert longest([one, other], 7, NOW) is one
    assert longest([other], 7, NOW) is other
    assert longest([one, other], 10, NOW) is None
    assert longest([], 7, NOW) is None


def test_its_json_says_when_it_ends():
    shown = exclusion().to_json()
    assert (shown["until_round"], shown["until"]) == (7, NOW + 2 * DAY_S)
    assert (shown["device_id"], shown["code"], shown["rounds"]) == ("one", "SECRET_FALSE", 2)
