"""Heads are shown as a stretch without gaps; nothing outside the contract is read."""

import pytest

from agent.protocol.ledger_heads import MAX_HEADS, HeadEcho, HeadStep, Ready, ShownHeads

A, B, C = "aa" * 32, "bb" * 32, "cc" * 32


def test_each_head_shown_stands_for_a_number_of_charges():
    shown = ShownHeads(5, (A, B, C))
    assert (shown.first, shown.head) == (3, C)
    assert [shown.at(count) for count in (2, 3, 4, 5, 6)] == [None, A, B, C, None]
    shown.check()


def test_the_first_head_stands_for_no_charge():
    for shown in (ShownHeads(0, (A,)), ShownHeads(2, (A, B, C))):
        shown.check()
        assert (shown.first, shown.at(0)) == (0, A)


@pytest.mark.parametrize(
    "shown",
    [
        ShownHeads(-1, (A,)),
        ShownHeads(2**32, (A,)),
        ShownHeads(1, ()),
        ShownHeads(1, (A, B, C)),
        ShownHeads(2**20, (A,) * (MAX_HEADS + 1)),
        ShownHeads(1, (A[:-1],)),
        ShownHeads(1, ("AA" * 32,)),
    ],
    ids=range(7),
)
def test_p11_heads_outside_the_contract_are_refused(shown):
    with pytest.raises(ValueError, match="expected"):
        shown.check()


def test_what_a_device_says_about_its_ledger_holds_heads_and_nothing_else():
    assert Ready(7, "11" * 16, ShownHeads(1, (A, B))).to_json() == {
        "trained": 7,
        "session": "11" * 16,
        "ledger": {"count": 1, "heads": [A, B]},
    }
    assert Ready(7).to_json()["ledger"] is None
    assert HeadStep(2, A, B).to_query() == f"count=2&before={A}&after={B}"
    assert HeadEcho.of(ShownHeads(1, (A, B)), 60) == HeadEcho(1, B, 60)
