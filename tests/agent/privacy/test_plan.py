"""Every plan is one that devices accept, costs no more than asked, and has room for every honest
sum.
"""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import OperatorActionError
from agent.privacy.plan import headroom, padded, plan_local, plan_secagg
from agent.privacy.policy import DeviceLimits, check_config
from agent.privacy.zcdp import rho_for_epsilon, rho_units
from agent.protocol.limits import MAX_NOISE_UNITS, MIN_NOISE_UNITS
from agent.protocol.messages import Mode, RoundConfig, Task
from tests.fakes.rounds import round_identity

ANY = DeviceLimits(min_group=2, min_sum=2, gamma_milli=0, max_rho_units=2**60)


def task(d, mode, clip_milli=1000):
    return Task("t", "s", "logistic", d, mode, 10, 100, clip_milli, 1)


@given(
    st.integers(1, 100_000),
    st.floats(0.3, 16),
    st.integers(1, 50),
    st.integers(1, 50_000),
    st.integers(2, 400),
    st.integers(0, 300),
)
@settings(max_examples=150, deadline=None)
def test_a_plan_is_acceptable_and_within_its_price(
    d, wanted, rounds, clip_milli, g_max, gamma_milli
):
    price = rho_for_epsilon(wanted, 1e-5) // rounds
    min_sum = max(2, gamma_milli * g_max // 1000 + 1, g_max * 3 // 5)
    try:
        plans = [
            (
                plan_local(
                    task(d, Mode.LOCAL, clip_milli), round_identity(), rho_units_per_round=price
                ),
                Mode.LOCAL,
            ),
            (
                plan_secagg(
                    task(d, Mode.SECAGG, clip_milli),
                    round_identity(),
                    rho_units_per_round=price,
                    g_max=g_max,
                    min_group=min_sum,
                    min_sum=min_sum,
                    gamma_milli=gamma_milli,
                ),
                Mode.SECAGG,
            ),
        ]
    except OperatorActionError as error:
        if error.code != "PRICE_TOO_LOW":
            raise
        return
    for config, mode in plans:
        check_config(config, task(d, mode, clip_milli), ANY)
        assert RoundConfig.from_json(config.to_json()) == config
        assert rho_units(config) <= price
        assert MIN_NOISE_UNITS**2 <= config.noise_var <= MAX_NOISE_UNITS**2
        assert headroom(config, config.g_max) < 2 ** (config.bits - 1)


@pytest.mark.parametrize(
    ("d", "wide"),
    [(1, 1), (2, 2), (116, 128), (2048, 2048), (2049, 4096), (10_000, 10_240), (100_000, 100_352)],
)
def test_vectors_are_padded_to_a_power_of_two_or_to_whole_blocks(d, wide):
    assert padded(d) == wide


def test_a_vector_of_ten_thousand_is_sent_in_less_than_27_kilobytes():
    config = plan_secagg(
        task(10_000, Mode.SECAGG),
        round_identity(),
        rho_units_per_round=rho_for_epsilon(1, 1e-5) // 10,
        g_max=100,
        min_sum=80,
    )
    assert config.bits == 20
    assert config.d_padded * config.bits // 8 < 27_000


def test_impossible_plans_are_refused_by_their_code():
    with pytest.raises(OperatorActionError) as raised:
        plan_local(task(100_000, Mode.LOCAL), round_identity(), rho_units_per_round=100)
    assert raised.value.code == "PRICE_TOO_LOW"
    with pytest.raises(OperatorActionError) as raised:
        plan_secagg(
            task(10, Mode.SECAGG),
            round_identity(),
            rho_units_per_round=2**30,
            g_max=200,
            min_sum=40,
        )
    assert raised.value.code == "GROUP_PLAN"


def test_prices_budget_and_bounds_are_computed_without_numpy():
    """They run in the agent, which stays small."""
    code = (
        "import sys, agent.privacy.policy, agent.privacy.budget, agent.privacy.plan;"
        " sys.exit('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
