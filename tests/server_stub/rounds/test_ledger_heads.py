"""The aggregator takes updates from one copy of a device only."""

import pytest

from agent.errors import AegisError
from agent.protocol.ledger_heads import HeadStep, ShownHeads
from server_stub.rounds.ledger_heads import GRACE_S, KnownHead, advance, show

H0, H1, H2, X1, X2 = (f"{n:02d}" * 32 for n in (10, 11, 12, 21, 22))
ME, TWIN = "11" * 16, "22" * 16
NOW, LEASE_S = 1000, 60


def shown(count, *heads):
    return ShownHeads(count, heads)


def refused(call, *arguments):
    with pytest.raises(AegisError) as raised:
        call(*arguments)
    return raised.value.code


def test_the_first_head_is_believed():
    assert show(None, shown(0, H0), ME, NOW, 0) == KnownHead(0, H0)


def test_a_ledger_that_grew_is_followed():
    """Charges whose update never arrived, or an aggregator that was set back."""
    assert show(KnownHead(0, H0), shown(2, H0, H1, H2), ME, NOW, 0) == KnownHead(2, H2)
    assert show(KnownHead(1, H1), shown(2, H1, H2), ME, NOW, 0) == KnownHead(2, H2)


@pytest.mark.parametrize(
    ("known", "copy"),
    [
        (KnownHead(1, H1), shown(0, H0)),
        (KnownHead(1, H1), shown(1, H0, X1)),
        (KnownHead(1, H1), shown(2, H0, X1, X2)),
        (KnownHead(2, H2), shown(1, H0, H1)),
    ],
    ids=["behind", "beside", "beyond on another way", "an older backup"],
)
def test_p5_a_ledger_that_went_another_way_is_refused(known, copy):
    assert refused(show, known, copy, ME, NOW, LEASE_S) == "LEDGER_FORKED"


def test_an_aggregator_that_was_set_back_asks_for_earlier_heads():
    assert refused(show, KnownHead(0, H0), shown(2, H1, H2), ME, NOW, 0) == "LEDGER_BEHIND"


def test_p5_one_process_at_a_time_is_admitted_at_a_head():
    known = show(KnownHead(0, H0), shown(0, H0), ME, NOW, LEASE_S)
    assert known == KnownHead(0, H0, ME, NOW + LEASE_S + GRACE_S)
    over = NOW + LEASE_S + GRACE_S
    assert refused(show, known, shown(0, H0), TWIN, over - 1, LEASE_S) == "LEDGER_RESERVED"
    assert show(known, shown(0, H0), TWIN, over, LEASE_S).session == TWIN
    assert show(known, shown(0, H0), ME, NOW + 5, LEASE_S).reserved_until == over + 5
    # A poll while no round is open keeps the reservation.
    assert show(known, shown(0, H0), ME, NOW + 5, 0) == known


def test_p10_a_process_that_charged_and_restarted_shows_its_charge_and_goes_on():
    known = show(KnownHead(0, H0), shown(0, H0), ME, NOW, LEASE_S)
    assert show(known, shown(1, H0, H1), TWIN, NOW + 1, LEASE_S).head == H1


def test_an_update_moves_the_head_and_ends_the_reservation():
    known = KnownHead(0, H0, ME, NOW + LEASE_S)
    assert advance(known, HeadStep(1, H0, H1)) == KnownHead(1, H1)
    assert advance(None, HeadStep(1, H0, H1)) == KnownHead(1, H1)


def test_p10_an_update_whose_charge_was_shown_before_it_arrived_is_taken():
    assert advance(KnownHead(1, H1), HeadStep(1, H0, H1)) == KnownHead(1, H1)


@pytest.mark.parametrize(
    "step", [HeadStep(1, H0, X1), HeadStep(2, X1, X2), HeadStep(1, H1, H2), HeadStep(3, H1, H2)]
)
def test_p5_an_update_of_another_copy_is_refused(step):
    assert refused(advance, KnownHead(1, H1), step) == "LEDGER_FORKED"


def test_a_device_that_never_showed_a_head_need_not_begin():
    assert advance(None, None) is None


def test_p5_a_device_that_showed_a_head_shows_it_with_every_update():
    assert refused(advance, KnownHead(1, H1), None) == "LEDGER_UNSHOWN"
