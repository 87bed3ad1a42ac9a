"""The most that any device of a demonstration has spent."""

from agent.privacy.zcdp import epsilon, rho_for_epsilon
from server_stub.demo.spending import Spending, most_spent

DELTA = 1e-5


def test_p5_the_device_that_spent_most_counts_whichever_it_is():
    """The full agent's ledger is one of them: once it had 1.040 where the report said 0.967."""
    simulated, full_agent = (100 * 2**24, 900 * 2**24), (200 * 2**24, 800 * 2**24)
    spent = most_spent([simulated, simulated, full_agent], DELTA)
    assert spent.epsilon == epsilon(full_agent[0], DELTA)
    assert spent.epsilon_local == epsilon(simulated[1], DELTA)
    assert spent.epsilon_between == epsilon(4 * full_agent[0], DELTA)


def test_two_updates_are_told_apart_better_than_an_update_and_a_zero():
    spent = most_spent([(rho_for_epsilon(1.0, DELTA), 0)], DELTA)
    assert 2.138 < spent.epsilon_between < 2.14


def test_without_devices_nothing_is_spent():
    assert most_spent([], DELTA) == Spending(0.0, 0.0, 0.0)
