"""Prices against dp-accounting and against the figures that the design was made with."""

import math

import pytest
from dp_accounting import dp_event
from dp_accounting.rdp import RdpAccountant
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.privacy.plan import plan_local, plan_secagg
from agent.privacy.zcdp import RHO_UNIT, epsilon, rho_for_epsilon, rho_local_units, rho_units
from agent.protocol.messages import Mode, Task

DELTA = 1e-5
LOCAL = Task("t", "s", "logistic", 116, Mode.LOCAL, 10, 100, 1000, 1)
GROUP = Task("t", "s", "logistic", 116, Mode.SECAGG, 10, 100, 1000, 1)
ORDERS = [1 + 2.0 ** (step / 16) for step in range(-64, 160)]

# Noise multiplier z for T participations at ε, δ = 1e-5, by zCDP (dp-accounting's RDP of the Gaussian gives the same).
TABLE = {
    (10, 1): 12.79,
    (10, 2): 6.80,
    (10, 4): 3.66,
    (10, 8): 2.02,
    (50, 1): 28.60,
    (50, 2): 15.20,
    (50, 4): 8.19,
    (50, 8): 4.51,
    (100, 1): 40.45,
    (100, 2): 21.49,
    (100, 4): 11.58,
    (100, 8): 6.38,
    (365, 1): 77.28,
    (365, 2): 41.06,
    (365, 4): 22.12,
    (365, 8): 12.18,
}


def oracle(rho, delta=DELTA):
    accountant = RdpAccountant(ORDERS)
    accountant.compose(dp_event.ZCDpEvent(rho))
    return accountant.get_epsilon(delta)


@pytest.mark.parametrize(("wanted", "rho"), [(0.5, 0.00851), (1, 0.03056), (2, 0.1083), (4, 0.3732), (8, 1.230)])
def test_budgets_in_rho(wanted, rho):
    units = rho_for_epsilon(wanted, DELTA)
    assert units * RHO_UNIT == pytest.approx(rho, rel=2e-3)
    assert epsilon(units, DELTA) <= wanted < epsilon(units + 2**20, DELTA)


@pytest.mark.parametrize(("rounds", "wanted"), TABLE)
def test_p5_noise_multipliers_of_the_design(rounds, wanted):
    z = math.sqrt(rounds / (2 * rho_for_epsilon(wanted, DELTA) * RHO_UNIT))
    assert z == pytest.approx(TABLE[rounds, wanted], rel=4e-3)
    accountant = RdpAccountant(ORDERS)
    accountant.compose(dp_event.GaussianDpEvent(z), rounds)
    assert accountant.get_epsilon(DELTA) == pytest.approx(wanted, rel=2e-3)


@given(st.integers(1, 2**44), st.sampled_from([1e-9, 1e-6, 1e-5, 1e-3]))
@settings(max_examples=60, deadline=None)
def test_epsilon_is_the_accountants_and_never_below_the_best_order(units, delta):
    ours = epsilon(units, delta)
    best = min(
        a * units * RHO_UNIT + math.log(1 - 1 / a) - math.log(delta * a) / (a - 1) for a in (1 + 2.0 ** (k / 64) for k in range(-900, 2400))
    )
    assert ours <= max(best, 0.0) + 1e-12
    assert ours >= max(best, 0.0) * (1 - 1e-3) - 1e-3
    assert ours <= oracle(units * RHO_UNIT, delta) * (1 + 1e-9)


@given(st.lists(st.tuples(st.integers(30, 2000), st.booleans()), min_size=1, max_size=12))
@settings(max_examples=30, deadline=None)
def test_p5_the_ledger_never_undercharges(rounds):
    """Adaptive sequences of rounds of either mode: our sum is at least dp-accounting's for the noise that is really there."""
    accountant, charged = RdpAccountant(ORDERS), 0
    for price, local in rounds:
        asked = price * 2**40 // 100_000
        config = (
            plan_local(LOCAL, rho_units_per_round=asked)
            if local
            else plan_secagg(GROUP, rho_units_per_round=asked, g_max=40, min_group=32, min_sum=24)
        )
        honest = config.min_sum - config.colluders
        z = math.sqrt(config.noise_var * honest / config.sensitivity_sq)
        accountant.compose(dp_event.GaussianDpEvent(z))
        charged += rho_units(config)
        assert rho_units(config) <= asked
    assert accountant.get_epsilon(DELTA) <= oracle(charged * RHO_UNIT) * (1 + 1e-9)
    assert epsilon(charged, DELTA) >= accountant.get_epsilon(DELTA) * (1 - 5e-3)


def test_local_price_is_never_below_the_price_in_a_sum():
    config = plan_secagg(GROUP, rho_units_per_round=2**40 // 1000, g_max=100, min_sum=60)
    assert rho_local_units(config) == pytest.approx(40 * rho_units(config), rel=1e-3)
    local = plan_local(LOCAL, rho_units_per_round=2**40 // 1000)
    assert rho_local_units(local) == rho_units(local)


def test_nothing_spent_is_zero_and_nonsense_is_refused():
    assert epsilon(0, DELTA) == 0.0
    assert rho_for_epsilon(0, DELTA) == 0
    with pytest.raises(ValueError, match="units"):
        epsilon(-1, DELTA)
    with pytest.raises(ValueError, match="delta"):
        epsilon(1, 0.0)
