"""Past rounds become tests; a device that is named is excluded, and starts anew after that."""

import numpy as np
import pytest

from server_stub.coordinator.exclusions import device_evidence
from server_stub.coordinator.suspects import exclude_suspects, round_tests
from server_stub.storage.store import Store
from tests.fakes.stored_rows import NOW, add_device, round_config

DEVICES = [f"urn:{number:03}" for number in range(384)]
LIAR = DEVICES[7]


@pytest.fixture
def store(tmp_path):
    opened = Store(f"sqlite:///{tmp_path / 'aggregator.sqlite3'}")
    for device in DEVICES:
        add_device(opened, device)
    yield opened
    opened.close()


def add_rounds(store, numbers, *, has_root=True, beside=""):
    """Rejected rounds of twelve groups; the liar moves its group by eight standard deviations.

    `beside`: a device that happens to be in the liar's group each time.
    """
    draw = np.random.default_rng(1)
    for round_id in numbers:
        order = draw.permutation(len(DEVICES))
        members = [[DEVICES[one] for one in part] for part in np.array_split(order, 12)]
        if beside:
            members = [[one for one in part if one != beside] for part in members]
            next(part for part in members if LIAR in part).append(beside)
        groups = [
            {"gate": found(draw, LIAR in part, has_root), "survivors": len(part)}
            for part in members
        ]
        store.rounds.open(round_config(round_id), 3)
        store.rounds.close_groups(round_id, {}, NOW)
        store.rounds.reject(round_id, NOW, "", {"groups": groups}, list(enumerate(members)))


def found(draw, is_bad, has_root):
    moved = float(draw.normal()) - 8 * is_bad
    if has_root:
        return {"projection": moved, "energy": 116.0, "freedom": 116}
    return {"projection": None, "energy": 116 + (232**0.5) * abs(moved), "freedom": 116}


@pytest.mark.parametrize("has_root", [True, False])
def test_the_device_whose_groups_are_bad_is_excluded_and_nobody_else(store, has_root):
    add_rounds(store, range(1, 15), has_root=has_root)
    named = [proof.verdict.device_id for proof in exclude_suspects(store, 14, NOW)]
    assert named == [LIAR]
    (exclusion,) = store.proofs.all()
    assert (exclusion.device_id, exclusion.code, exclusion.rounds) == (LIAR, "SUSPECTED", 1)
    (shown,) = device_evidence(store, LIAR, "", NOW)["proofs"]
    assert shown["verified"] == "verified"


def test_what_a_device_did_before_its_exclusion_does_not_count_again(store):
    add_rounds(store, range(1, 15))
    assert exclude_suspects(store, 14, NOW)
    assert exclude_suspects(store, 15, NOW + 1) == []
    members = {one for round_ in round_tests(store) for test in round_ for one in test.members}
    assert LIAR not in members


def test_rounds_without_a_gate_are_no_tests(store):
    store.rounds.open(round_config(1), 3)
    store.rounds.close_groups(1, {}, NOW)
    store.rounds.reject(1, NOW, "", {"groups": [{"gate": None}] * 12}, [(0, DEVICES[:3])])
    assert round_tests(store) == []
    assert exclude_suspects(store, 1, NOW) == []


def test_what_an_erased_device_did_does_not_fall_on_those_beside_it(store):
    shadow = DEVICES[8]
    add_rounds(store, range(1, 9), beside=shadow)
    assert {len(one) for one in round_tests(store)} == {12}
    store.devices.erase(LIAR)
    assert exclude_suspects(store, 8, NOW) == []
    assert round_tests(store) == []  # eleven groups are left in each round
