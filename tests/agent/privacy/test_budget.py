"""The budget gate: what it allows, when it allows again, and that no history exceeds it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.privacy.budget import DAY_S, Allowed, Budget, Refused, decide

BUDGET = Budget(1.0, 1e-5, 365, 3.0)
MOST = BUDGET.rho_units
YEAR = 365 * DAY_S


def test_p5_up_to_the_wall_and_not_beyond():
    assert decide(BUDGET, [], 0, MOST) == Allowed(0)
    assert decide(BUDGET, [(0, MOST - 10)], 5, 10) == Allowed(0)
    assert decide(BUDGET, [(0, MOST - 10)], 5, 11) == Refused(YEAR)


def test_p5_it_says_when_enough_has_left_the_period():
    history = [(100, MOST // 2), (200, MOST // 4), (300, MOST // 4)]
    assert decide(BUDGET, history, 400, MOST // 2) == Refused(100 + YEAR)
    assert decide(BUDGET, history, 400, MOST * 3 // 4) == Refused(200 + YEAR)
    assert isinstance(decide(BUDGET, history, 100 + YEAR, MOST // 2), Allowed)
    assert isinstance(decide(BUDGET, history, 100 + YEAR - 1, MOST // 2), Refused)


def test_p5_a_price_above_the_period_or_the_lifetime_is_never_paid():
    assert decide(BUDGET, [], 0, MOST + 1) == Refused(None)
    full = [(at * 2 * YEAR, MOST) for at in range(BUDGET.lifetime_rho_units // MOST)]
    rest = BUDGET.lifetime_rho_units - sum(units for _, units in full)
    late = 1000 * YEAR
    assert isinstance(decide(BUDGET, full, late, rest), Allowed)
    assert decide(BUDGET, full, late, rest + 1) == Refused(None)


def test_p5_a_clock_set_back_gives_nothing_away():
    assert isinstance(decide(BUDGET, [(YEAR * 5, MOST)], 10, 1), Refused)


def test_nonsense_is_refused():
    for history, price in ([(0, -1)], 1), ([], 0):
        with pytest.raises(ValueError, match="price"):
            decide(BUDGET, history, 0, price)


@given(st.lists(st.tuples(st.integers(0, 30 * DAY_S), st.integers(1, MOST)), max_size=40))
def test_p5_no_order_of_offers_passes_the_wall(offers):
    now, paid = 0, []
    for wait, price in offers:
        now += wait
        answer = decide(BUDGET, paid, now, price)
        if isinstance(answer, Allowed):
            paid.append((now, price))
        elif answer.may_take_part_at is not None:
            assert answer.may_take_part_at > now
            assert isinstance(decide(BUDGET, paid, answer.may_take_part_at, price), Allowed)
            assert isinstance(decide(BUDGET, paid, answer.may_take_part_at - 1, price), Refused)
        assert sum(units for at, units in paid if at > now - YEAR) <= MOST
        assert sum(units for _, units in paid) <= BUDGET.lifetime_rho_units
