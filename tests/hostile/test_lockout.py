"""Nobody who makes rounds fail locks honest devices out, or spends more of their budget than the
caps allow: neither a device among 40 agents nor the server (P4).
"""

import pytest

from agent.privacy.budget import PRODUCT_SPENDING
from server_stub.rounds.lifecycle import State
from tests.hostile.lockout import BUDGET, HONEST, a_lying_server, two_failures

pytestmark = pytest.mark.system


async def test_p4_after_two_failures_on_one_day_honest_devices_are_back_within_24_hours(tmp_path):
    """A word out of range, which nobody can be blamed for, and false shares. Chance may leave the
    second liar out of its round.
    """
    lockout = await two_failures(tmp_path)
    first, second, third, last = lockout.lines
    assert (first.ended, first.charged) == (f"{State.ABANDONED}: SUM_OUT_OF_RANGE", HONEST)
    assert second.sitting_out == (HONEST + 2) // 5
    assert HONEST - second.sitting_out <= second.charged < HONEST + 1
    assert (third.ended, third.charged) == ("", 0)
    for line in lockout.lines:
        assert set(line.waiting) <= {"DAY_SPENT"}
        assert all(line.hours < end <= line.hours + 24 for end in line.waiting.values())
    assert third.waiting["DAY_SPENT"] == pytest.approx(24, abs=0.01)
    assert last.ended.startswith(State.DONE)
    assert last.charged == HONEST
    assert lockout.paid_for_nothing <= BUDGET.rho_units // PRODUCT_SPENDING.day_parts


async def test_p4_a_lying_server_spends_no_faster_than_the_caps(tmp_path):
    server, answers = await a_lying_server(tmp_path)
    refused, paid = (0, {"ROUND_TOO_EXPENSIVE"}), (HONEST, set())
    day, model = (0, {"DAY_SPENT"}), (0, {"MODEL_SPENT"})
    assert answers == [refused, paid, paid, day, paid, paid, day, paid, model, model, paid]
    for hours, _ in server.history:
        last_day = sum(units for at, units in server.history if hours - 24 < at <= hours)
        assert last_day <= BUDGET.rho_units // PRODUCT_SPENDING.day_parts
