"""The time that both clocks agree on: the lesser step counts, and it never goes back."""

from hypothesis import given
from hypothesis import strategies as st

from agent.clock import Uptime
from agent.privacy.agreed_time import AgreedTime
from agent.privacy.budget import Moment

DAY_S, YEAR_S = 24 * 3600, 366 * 24 * 3600
START = Moment(1000, Uptime("first", 50))
BEGUN = AgreedTime(0, 1000, START)


def moment(seconds, *, start="first", set_by=0):
    return Moment(1000 + seconds + set_by, Uptime(start, 50 + seconds))


def test_it_grows_as_time_does():
    later = BEGUN.after_offer(1000 + DAY_S, moment(DAY_S))
    assert later.passed_s == DAY_S
    assert later.at(moment(DAY_S + 7)) == DAY_S + 7
    assert later.at(moment(5, start="second")) == DAY_S


def test_a_clock_that_is_set_counts_only_over_a_restart_and_then_the_server_decides():
    assert BEGUN.after_offer(1000 + 60, moment(60, set_by=YEAR_S)).passed_s == 60
    restarted = BEGUN.after_offer(1000 + 60, moment(60, start="second", set_by=YEAR_S))
    assert restarted.passed_s == 60


def test_a_server_ahead_once_gains_nothing_and_costs_one_step():
    ahead = BEGUN.after_offer(1000 + YEAR_S, moment(60))
    righted = ahead.after_offer(1000 + 120, moment(120))
    later = righted.after_offer(1000 + 180, moment(180))
    assert [one.passed_s for one in (ahead, righted, later)] == [60, 60, 120]


def test_a_charge_without_a_stamp_is_as_old_as_the_server_says():
    known = AgreedTime(5, 9000, START)
    assert known.age_s(None, 8000, START) == 1000
    assert known.age_s(None, 9500, START) == 0
    assert known.age_s(2, 8000, START) == 3
    assert known.age_s(8, 8000, START) == 0


@given(
    st.lists(
        st.tuples(
            st.integers(0, 40 * DAY_S),
            st.integers(-YEAR_S, YEAR_S),
            st.integers(-YEAR_S, YEAR_S),
            st.booleans(),
        )
    )
)
def test_p5_it_never_goes_back_and_never_overtakes_an_honest_clock(steps):
    """While at least one of the two is right, no more is agreed on than has truly passed."""
    known, true = BEGUN, 0
    for starts, (passes, local_by, server_by, is_server_honest) in enumerate(steps):
        true += passes
        now = moment(true, start=str(starts), set_by=local_by if is_server_honest else 0)
        known_before = known.passed_s
        known = known.after_offer(1000 + true + (0 if is_server_honest else server_by), now)
        assert known.passed_s >= known_before
        if all(honest for *_, honest in steps) or not any(honest for *_, honest in steps):
            assert known.passed_s <= true
