"""The privacy budget: what it allows, when it allows again, and that no history exceeds it."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.clock import Uptime
from agent.privacy.budget import (
    DAY_S,
    FAST_SPENDING,
    PRODUCT_SPENDING,
    Allowed,
    Budget,
    Limit,
    Moment,
    Refused,
    SpendingCaps,
    Spent,
    age_s,
    decide,
)

BUDGET = Budget(1.0, 1e-5, 365, 3.0)
MOST = BUDGET.rho_units
ROUND, MODEL = MOST // 10, MOST // 4
YEAR = 365 * DAY_S
NOW = 1_800_000_000


def ask(history, now, price, caps=FAST_SPENDING, **options):
    """`history` as (time, units) or (time, units, on this model)."""
    return decide(BUDGET, caps, [Spent(*one) for one in history], now, price, **options)


# The budget of a period and of a life


def test_p5_up_to_the_wall_and_not_beyond():
    assert ask([], 0, MOST) == Allowed(0)
    assert ask([(0, MOST - 10)], 5, 10) == Allowed(0)
    assert ask([(0, MOST - 10)], 5, 11) == Refused(YEAR)


def test_p5_it_says_when_enough_has_left_the_period():
    history = [(100, MOST // 2), (200, MOST // 4), (300, MOST // 4)]
    assert ask(history, 400, MOST // 2) == Refused(100 + YEAR)
    assert ask(history, 400, MOST * 3 // 4) == Refused(200 + YEAR)
    assert isinstance(ask(history, 100 + YEAR, MOST // 2), Allowed)
    assert isinstance(ask(history, 100 + YEAR - 1, MOST // 2), Refused)


def test_p5_a_price_above_the_period_or_the_lifetime_is_never_paid():
    assert ask([], 0, MOST + 1) == Refused(None, Limit.ROUND)
    full = [(at * 2 * YEAR, MOST) for at in range(BUDGET.lifetime_rho_units // MOST)]
    rest = BUDGET.lifetime_rho_units - sum(units for _, units in full)
    late = 1000 * YEAR
    assert isinstance(ask(full, late, rest), Allowed)
    assert ask(full, late, rest + 1) == Refused(None)


def test_p5_a_charge_dated_in_the_future_counts():
    assert isinstance(ask([(YEAR * 5, MOST)], 10, 1), Refused)


def test_nonsense_is_refused():
    for history, price in ([(0, -1)], 1), ([], 0):
        with pytest.raises(ValueError, match="price"):
            ask(history, 0, price)


@given(st.lists(st.tuples(st.integers(0, 30 * DAY_S), st.integers(1, MOST)), max_size=40))
def test_p5_no_order_of_offers_passes_the_wall(offers):
    now, paid = 0, []
    for wait, price in offers:
        now += wait
        answer = ask(paid, now, price)
        if isinstance(answer, Allowed):
            paid.append((now, price))
        elif answer.may_take_part_at is not None:
            assert answer.may_take_part_at > now
            assert isinstance(ask(paid, answer.may_take_part_at, price), Allowed)
            assert isinstance(ask(paid, answer.may_take_part_at - 1, price), Refused)
        assert sum(units for at, units in paid if at > now - YEAR) <= MOST
        assert sum(units for _, units in paid) <= BUDGET.lifetime_rho_units


# The caps


def test_p4_a_round_costs_a_tenth_at_most():
    assert isinstance(ask([], NOW, ROUND, PRODUCT_SPENDING), Allowed)
    assert ask([], NOW, ROUND + 1, PRODUCT_SPENDING) == Refused(None, Limit.ROUND)


def test_p4_a_day_costs_a_tenth_at_most_and_says_when_it_is_over():
    half = ROUND // 2
    today = [(NOW - 3600, half), (NOW - 60, half)]
    assert isinstance(ask(today[:1], NOW, half, PRODUCT_SPENDING), Allowed)
    until = NOW - 3600 + DAY_S
    assert ask(today, NOW, half, PRODUCT_SPENDING) == Refused(until, Limit.DAY)
    assert isinstance(ask(today, until - 1, half, PRODUCT_SPENDING), Refused)
    assert isinstance(ask(today, until, half, PRODUCT_SPENDING), Allowed)


def test_p4_a_model_gets_a_quarter_and_one_more_for_each_permission():
    past = [(NOW - day * DAY_S, ROUND, True) for day in (2, 4)]
    assert ask(past, NOW, ROUND, PRODUCT_SPENDING) == Refused(None, Limit.MODEL)
    assert isinstance(ask(past, NOW, MODEL - 2 * ROUND, PRODUCT_SPENDING), Allowed)
    assert isinstance(ask(past, NOW, ROUND, PRODUCT_SPENDING, models_allowed=2), Allowed)
    others = [(at, units, False) for at, units, _ in past]
    assert isinstance(ask(others, NOW, ROUND, PRODUCT_SPENDING), Allowed)


def test_the_spent_budget_comes_before_the_person_and_the_person_before_the_day():
    """What nobody can lift is said first, and what lifts by itself last."""
    both = [(NOW - 60, ROUND, True), (NOW - 2 * DAY_S, ROUND, True)]
    assert ask(both, NOW, ROUND, PRODUCT_SPENDING).limit is Limit.MODEL
    spent = [(NOW - day * DAY_S, ROUND, True) for day in range(10)]
    assert ask(spent, NOW, ROUND, PRODUCT_SPENDING).limit is Limit.PERIOD


def test_only_slower_spending_counts_as_the_products():
    assert FAST_SPENDING.are_for_tests
    assert not PRODUCT_SPENDING.are_for_tests
    assert not SpendingCaps(round_parts=20).are_for_tests
    assert SpendingCaps(model_parts=3).are_for_tests


# How old a charge is


@pytest.mark.parametrize(
    ("clock", "up", "start", "age"),
    [
        (NOW + 100, 600, "one", 100),  # nothing happened
        (NOW + 5 * DAY_S, 600, "one", 100),  # the clock was set ahead
        (NOW - 5 * DAY_S, 600, "one", 100),  # ... and back
        (NOW + 100, 20, "two", 100),  # restarted
        (NOW - 5 * DAY_S, 20, "two", 20),  # restarted with a clock that is behind
        (NOW - 5 * DAY_S, 2 * DAY_S, "two", 2 * DAY_S),  # ... and two days ago
    ],
)
def test_p4_the_age_of_a_charge_does_not_follow_a_clock_that_was_set(clock, up, start, age):
    charged, now = Moment(NOW, Uptime("one", 500)), Moment(clock, Uptime(start, up))
    assert age_s(charged, now, None) == age


def test_p4_a_clock_that_is_set_after_the_first_look_of_a_start_changes_nothing():
    charged, up = Moment(NOW, Uptime("one", 500)), Uptime("two", 60)
    for clock in (NOW + 100, NOW + 5 * DAY_S):
        assert age_s(charged, Moment(clock, up), started_at=NOW + 40) == 100
    assert age_s(charged, Moment(NOW + 70, up), started_at=NOW + 5 * DAY_S) == 70


def test_a_charge_of_an_older_version_has_only_the_clock():
    charged, up = Moment(NOW, Uptime("", 0)), Uptime("one", 10**6)
    assert age_s(charged, Moment(NOW + 50, up), None) == 50
    assert age_s(charged, Moment(NOW - 50, up), None) == 0


@dataclass
class Charge:
    """A charge as the ledger has it, and when it was truly made."""

    moment: Moment
    units: int
    model: int
    truly: int = field(compare=False)


class LyingServerAndOddClock(RuleBasedStateMachine):
    """Any offers, any new models, any settings of the clock while the computer runs, and restarts.

    Across a restart only the clock tells the time. So it is right when a start begins, and when a
    charge is made that a restart follows. `true` is the time that really passes.
    """

    def __init__(self):
        super().__init__()
        self.true, self.offset, self.started_at, self.start = NOW, 0, NOW - 1000, 0
        self.paid, self.model, self.may_restart = [], 1, True

    @property
    def now(self):
        uptime = Uptime(str(self.start), self.true - self.started_at)
        return Moment(self.true + self.offset, uptime)

    @rule(seconds=st.integers(0, 2 * DAY_S))
    def time_passes(self, seconds):
        self.true += seconds

    @rule(offset=st.integers(-(2 * YEAR), 2 * YEAR))
    def somebody_sets_the_clock(self, offset):
        self.offset = offset

    @precondition(lambda self: self.may_restart)
    @rule()
    def the_computer_restarts(self):
        self.offset, self.started_at, self.start = 0, self.true, self.start + 1

    @rule()
    def a_new_verified_model_comes(self):
        self.model += 1

    @rule(price=st.integers(1, MOST * 2) | st.integers(ROUND - 1, ROUND + 1))
    def the_server_offers_a_round(self, price):
        history = [
            Spent(
                self.now.at - age_s(one.moment, self.now, self.started_at),
                one.units,
                one.model >= self.model,
            )
            for one in self.paid
        ]
        answer = decide(BUDGET, PRODUCT_SPENDING, history, self.now.at, price)
        if isinstance(answer, Allowed):
            self.paid.append(Charge(self.now, price, self.model, self.true))
            self.may_restart = self.may_restart and not self.offset
        elif answer.limit is Limit.DAY:
            assert self.now.at < answer.may_take_part_at <= self.now.at + DAY_S

    @invariant()
    def p4_p5_no_24_hours_no_model_and_no_period_costs_more_than_its_share(self):
        for last in self.paid:
            day = [one for one in self.paid if last.truly - DAY_S < one.truly <= last.truly]
            assert sum(one.units for one in day) <= ROUND
            year = [one for one in self.paid if last.truly - YEAR < one.truly <= last.truly]
            assert sum(one.units for one in year) <= MOST
        for model in {one.model for one in self.paid}:
            assert sum(one.units for one in self.paid if one.model == model) <= MODEL
        assert all(one.units <= ROUND for one in self.paid)
        assert sum(one.units for one in self.paid) <= BUDGET.lifetime_rho_units


TestLyingServerAndOddClock = LyingServerAndOddClock.TestCase
TestLyingServerAndOddClock.settings = settings(
    deadline=None, max_examples=150, stateful_step_count=40
)


@given(
    st.lists(
        st.tuples(
            st.integers(0, DAY_S),  # running
            st.integers(-(3 * DAY_S), 30 * DAY_S),  # how the clock is off after the next start
        ),
        max_size=30,
    )
)
def test_p4_each_restart_with_a_wrong_clock_frees_one_day_at_most(starts):
    """If the clock is wrong across a restart, it can free what a day may cost, but no more. And no
    device waits for longer than a day of running, wherever its clock was.
    """
    true, paid = NOW, []
    for number, (running, offset) in enumerate(starts):
        started, spent = true, 0
        for _ in range(3):
            true += running
            now = Moment(true + offset, Uptime(str(number), true - started))
            history = [
                Spent(now.at - age_s(moment, now, started + offset), units)
                for moment, units in paid
            ]
            answer = decide(BUDGET, PRODUCT_SPENDING, history, now.at, ROUND // 2)
            if isinstance(answer, Allowed):
                paid.append((now, ROUND // 2))
                spent += ROUND // 2
            elif answer.limit is Limit.DAY:
                assert answer.may_take_part_at <= now.at + DAY_S
                assert true - started < DAY_S or spent
        assert spent <= (1 + (true - started) // DAY_S) * ROUND
