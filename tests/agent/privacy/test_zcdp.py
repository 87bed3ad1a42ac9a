"""Prices against dp-accounting and against the figures that the design was made with."""

import math
import random
from dataclasses import replace

import pytest
from dp_accounting import dp_event, get_sigma_gaussian
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import AegisError
from agent.privacy.budget import FAST_SPENDING, Budget, Refused, Spent, decide
from agent.privacy.plan import plan_local, plan_secagg
from agent.privacy.zcdp import (
    RHO_UNIT,
    epsilon,
    epsilon_between,
    rho_for_epsilon,
    rho_local_units,
    rho_sum_units,
    rho_units,
    sent_words,
)
from agent.protocol.messages import Mode, Task
from tests.fakes.rounds import round_identity

DELTA = 1e-5
LOCAL = Task("t", "s", "logistic", 116, Mode.LOCAL, 10, 100, 1000, 1)
GROUP = Task("t", "s", "logistic", 116, Mode.SECAGG, 10, 100, 1000, 1)
ORDERS = [1 + 2.0 ** (step / 16) for step in range(-64, 160)]

# Noise multiplier z for T participations at ε, δ = 1e-5: exact Gaussian, zCDP (what a ledger
# charges), and, for the operator's report only, Poisson sampling with rate 0.1 and 0.01 by RDP and
# PLD.
TABLE = {
    (10, 1): (11.80, 12.79, 1.923, 1.741, 1.016, 0.780),
    (10, 2): (6.30, 6.80, 1.313, 1.193, 0.765, 0.647),
    (10, 4): (3.42, 3.66, 0.930, 0.850, 0.575, 0.517),
    (10, 8): (1.90, 2.02, 0.665, 0.612, 0.432, 0.390),
    (50, 1): (26.38, 28.60, 3.185, 2.931, 1.053, 0.859),
    (50, 2): (14.10, 15.20, 1.890, 1.751, 0.803, 0.706),
    (50, 4): (7.64, 8.19, 1.230, 1.145, 0.618, 0.565),
    (50, 8): (4.24, 4.51, 0.858, 0.803, 0.476, 0.440),
    (100, 1): (37.31, 40.45, 4.278, 3.943, 1.080, 0.902),
    (100, 2): (19.94, 21.49, 2.423, 2.249, 0.828, 0.738),
    (100, 4): (10.81, 11.58, 1.482, 1.386, 0.642, 0.591),
    (100, 8): (6.00, 6.38, 0.995, 0.937, 0.502, 0.465),
    (365, 1): (71.27, 77.28, 7.855, 7.244, 1.198, 1.067),
    (365, 2): (38.09, 41.06, 4.254, 3.949, 0.899, 0.820),
    (365, 4): (20.66, 22.12, 2.399, 2.246, 0.703, 0.655),
    (365, 8): (11.47, 12.18, 1.456, 1.377, 0.556, 0.524),
}


def oracle(rho, delta=DELTA):
    accountant = RdpAccountant(ORDERS)
    accountant.compose(dp_event.ZCDpEvent(rho))
    return accountant.get_epsilon(delta)


@pytest.mark.parametrize(
    ("wanted", "rho"), [(0.5, 0.00851), (1, 0.03056), (2, 0.1083), (4, 0.3732), (8, 1.230)]
)
def test_budgets_in_rho(wanted, rho):
    units = rho_for_epsilon(wanted, DELTA)
    assert units * RHO_UNIT == pytest.approx(rho, rel=2e-3)
    assert epsilon(units, DELTA) <= wanted < epsilon(units + 2**20, DELTA)


@pytest.mark.parametrize(("rounds", "wanted"), TABLE)
def test_p5_noise_multipliers_of_the_design(rounds, wanted):
    exact, charged, *_ = TABLE[rounds, wanted]
    z = math.sqrt(rounds / (2 * rho_for_epsilon(wanted, DELTA) * RHO_UNIT))
    assert z == pytest.approx(charged, rel=4e-3)
    accountant = RdpAccountant(ORDERS)
    accountant.compose(dp_event.GaussianDpEvent(z), rounds)
    assert accountant.get_epsilon(DELTA) == pytest.approx(wanted, rel=2e-3)
    assert get_sigma_gaussian(wanted, DELTA) * math.sqrt(rounds) == pytest.approx(exact, rel=2e-3)
    assert exact < z < 1.1 * exact


@pytest.mark.parametrize(("rounds", "wanted"), [(10, 1), (10, 8), (100, 2), (365, 4)])
def test_figures_with_sampling_are_far_lower_and_no_ledger_uses_them(rounds, wanted):
    """A device cannot verify that it was sampled, so it pays the whole price; an operator may quote
    these.
    """
    unsampled = TABLE[rounds, wanted][1]
    for rate, by_rdp, by_pld in (
        (0.1, *TABLE[rounds, wanted][2:4]),
        (0.01, *TABLE[rounds, wanted][4:]),
    ):
        for accountant, z in (
            (RdpAccountant(), by_rdp),
            (PLDAccountant(value_discretization_interval=1e-3), by_pld),
        ):
            accountant.compose(
                dp_event.PoissonSampledDpEvent(rate, dp_event.GaussianDpEvent(z)), rounds
            )
            assert accountant.get_epsilon(DELTA) == pytest.approx(wanted, rel=1e-2)
        assert by_pld < by_rdp < unsampled


@given(st.integers(1, 2**44), st.sampled_from([1e-9, 1e-6, 1e-5, 1e-3]))
@settings(max_examples=60, deadline=None)
def test_epsilon_is_the_accountants_and_never_below_the_best_order(units, delta):
    ours = epsilon(units, delta)
    best = min(
        a * units * RHO_UNIT + math.log(1 - 1 / a) - math.log(delta * a) / (a - 1)
        for a in (1 + 2.0 ** (k / 64) for k in range(-900, 2400))
    )
    assert ours <= max(best, 0.0) + 1e-12
    assert ours >= max(best, 0.0) * (1 - 1e-3) - 1e-3
    assert ours <= oracle(units * RHO_UNIT, delta) * (1 + 1e-9)


@given(st.lists(st.tuples(st.integers(30, 2000), st.booleans()), min_size=1, max_size=12))
@settings(max_examples=30, deadline=None)
def test_p5_the_ledger_never_undercharges(rounds):
    """Adaptive sequences of rounds of either mode: our sum is at least dp-accounting's for the
    noise that is really there.
    """
    accountant, charged = RdpAccountant(ORDERS), 0
    for price, local in rounds:
        asked = price * 2**40 // 100_000
        config = (
            plan_local(LOCAL, round_identity(), rho_units_per_round=asked)
            if local
            else plan_secagg(
                GROUP,
                round_identity(),
                rho_units_per_round=asked,
                g_max=40,
                min_group=32,
                min_sum=24,
            )
        )
        honest = config.min_sum - config.colluders
        z = math.sqrt(config.noise_var * honest / config.sensitivity_sq)
        accountant.compose(dp_event.GaussianDpEvent(z))
        charged += rho_units(config)
        assert rho_units(config) <= asked
    assert accountant.get_epsilon(DELTA) <= oracle(charged * RHO_UNIT) * (1 + 1e-9)
    assert epsilon(charged, DELTA) >= accountant.get_epsilon(DELTA) * (1 - 5e-3)


@given(
    st.lists(
        st.tuples(st.integers(1, 400), st.booleans(), st.integers(0, 2)), min_size=1, max_size=30
    ),
    st.sampled_from([0.5, 1.0, 4.0]),
)
@settings(max_examples=30, deadline=None)
def test_p5_no_adaptive_sequence_of_rounds_spends_more_than_the_budget_by_dp_accounting(
    offers, wanted
):
    """Each offer is made in the light of what is left: a share of it, in either mode, with all or
    some coordinates; the wall decides.
    """
    budget = Budget(wanted, DELTA, 365, 3 * wanted)
    accountant, paid = RdpAccountant(ORDERS), []
    for share, local, halvings in offers:
        left = budget.rho_units - sum(spent.units for spent in paid)
        asked = max(left * share // 200, 2**40 // 10**5)
        subset = {"subset_k": 128 >> halvings, "subset_seed": "5a" * 32} if halvings else {}
        identity = round_identity(**subset)
        config = (
            plan_local(LOCAL, identity, rho_units_per_round=asked)
            if local
            else plan_secagg(
                GROUP, identity, rho_units_per_round=asked, g_max=40, min_group=32, min_sum=24
            )
        )
        price = rho_units(config)
        if isinstance(decide(budget, FAST_SPENDING, paid, len(paid), price), Refused):
            continue
        paid.append(Spent(len(paid), price))
        honest = config.min_sum - config.colluders
        accountant.compose(
            dp_event.GaussianDpEvent(math.sqrt(config.noise_var * honest / config.sensitivity_sq))
        )
    assert accountant.get_epsilon(DELTA) <= wanted * (1 + 5e-3)
    assert epsilon(sum(spent.units for spent in paid), DELTA) <= wanted


def test_local_price_is_never_below_the_price_in_a_sum():
    config = plan_secagg(
        GROUP, round_identity(), rho_units_per_round=2**40 // 1000, g_max=100, min_sum=60
    )
    assert rho_local_units(config) == pytest.approx(40 * rho_units(config), rel=1e-3)
    local = plan_local(LOCAL, round_identity(), rho_units_per_round=2**40 // 1000)
    assert rho_local_units(local) == rho_units(local)


def test_nothing_spent_is_zero_and_nonsense_is_refused():
    assert epsilon(0, DELTA) == 0.0
    assert rho_for_epsilon(0, DELTA) == 0
    with pytest.raises(ValueError, match="units"):
        epsilon(-1, DELTA)
    with pytest.raises(ValueError, match="delta"):
        epsilon(1, 0.0)


@pytest.fixture(scope="module")
def exactly():
    """The infimum of ε over every order, and τ·d, with 40 digits, by mpmath."""
    from mpmath import mp, mpf

    with mp.workdps(40):
        yield Exactly(mp, mpf)


class Exactly:
    def __init__(self, mp, mpf):
        self.mp, self.mpf = mp, mpf

    def epsilon(self, units, delta):
        rho, failure = self.mpf(units) / 2**40, self.mpf(delta)

        def bound(log_excess):
            excess = self.mp.exp(log_excess)
            order = 1 + excess
            return order * rho + self.mp.log(excess / order) - self.mp.log(failure * order) / excess

        low, high = self.mpf(-14), self.mpf(60)
        while high - low > self.mpf(10) ** -16:
            third = (high - low) / 3
            if bound(low + third) < bound(high - third):
                high -= third
            else:
                low += third
        return max(bound(low), self.mpf(0))

    def price(self, config):
        """ρ of a round by the formulas themselves, in the ledger's units."""
        own = self.mpf(config.sensitivity_sq) / (2 * config.noise_var)
        if config.mode is Mode.LOCAL:
            return own * 2**40
        gap = 10 * sum(
            self.mp.exp(-2 * self.mp.pi**2 * config.noise_var * k / self.mpf(k + 1))
            for k in range(1, config.g_max)
        )
        honest = config.min_sum - config.colluders
        return (own / honest + gap * sent_words(config)) * 2**40


def test_p5_epsilon_is_never_below_the_infimum(exactly):
    """In floats it was below in 6 of 10 cases, by up to 1e-11."""
    draw = random.Random(14)
    for _ in range(120):
        units = int(2 ** draw.uniform(0, 56))
        delta = draw.choice(["0.00001", "0.000001", f"{10 ** draw.uniform(-9, -2):.12f}"])
        infimum = exactly.epsilon(units, delta)
        assert infimum <= epsilon(units, float(delta)) <= infimum * (1 + 1e-6) + 1e-12


def test_p5_two_thousand_random_plans_charge_at_least_the_exact_price(exactly):
    draw = random.Random(7)
    planned = 0
    while planned < 2000:
        asked = int(2**40 * 10 ** draw.uniform(-3.3, -0.6))
        d = draw.choice([1, 29, 116, 1024])
        try:
            if draw.random() < 0.3:
                config = plan_local(
                    replace(LOCAL, d=d), round_identity(), rho_units_per_round=asked
                )
            else:
                most = draw.randint(3, 63)
                least = draw.randint(2, most)
                config = plan_secagg(
                    replace(GROUP, d=d),
                    round_identity(),
                    rho_units_per_round=asked,
                    g_max=most,
                    min_group=most,
                    min_sum=least,
                    gamma_milli=draw.choice([0, 100, 200]),
                )
        except AegisError:  # no such plan: too many colluders, or a price that buys no noise
            continue
        planned += 1
        assert exactly.price(config) <= rho_units(config) <= asked


def test_p5_two_updates_of_one_device_are_bounded_by_four_times_rho():
    units = rho_for_epsilon(1, DELTA)
    assert epsilon_between(units, DELTA) == epsilon(4 * units, DELTA)
    assert 2.138 < epsilon_between(units, DELTA) < 2.14
    assert oracle(4 * units * RHO_UNIT) <= 2.14


def test_a_sum_costs_more_the_fewer_bring_their_noise():
    config = plan_secagg(
        GROUP, round_identity(), rho_units_per_round=2**36, g_max=40, min_group=32, min_sum=24
    )
    assert rho_sum_units(config, 24 - config.colluders, 40) == rho_units(config)
    assert rho_sum_units(config, 40, 40) < rho_sum_units(config, 39, 40) < rho_units(config)
