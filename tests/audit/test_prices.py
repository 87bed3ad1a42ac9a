"""2,000 random plans: what a ledger charges is never below the exact price, and its ε is right."""

import math
import random
from fractions import Fraction

import mpmath
import pytest
from dp_accounting import dp_event
from dp_accounting.rdp import RdpAccountant

from agent.errors import OperatorActionError
from agent.privacy.plan import plan_local, plan_secagg
from agent.privacy.zcdp import RHO_UNIT, UNITS_PER_RHO, epsilon, rho_local_units, rho_units
from agent.protocol.messages import Mode, Task
from tests.fakes.rounds import round_identity

PLANS = 2000
DELTA = 1e-5
ORDERS = [1 + 2.0 ** (step / 16) for step in range(-64, 160)]


def random_plan(rng):
    """A plan of either mode, or None where the planner refuses."""
    mode = rng.choice((Mode.LOCAL, Mode.SECAGG))
    d = rng.choice((1, 2, 4, 29, 116, 1000, 5000))
    price = int(UNITS_PER_RHO * 10 ** rng.uniform(-4.5, 0.5))
    task = Task("t", "s", "logistic", d, mode, 10, 100, rng.randint(1, 5000), 1)
    try:
        if mode is Mode.LOCAL:
            return price, plan_local(task, round_identity(), rho_units_per_round=price)
        group = rng.randint(2, 100)
        least = rng.randint(1, group)
        return price, plan_secagg(
            task,
            round_identity(),
            rho_units_per_round=price,
            g_max=group,
            min_group=least,
            min_sum=least,
            gamma_milli=rng.randint(0, 300),
        )
    except OperatorActionError:
        return None


def plans():
    rng, found = random.Random(12), []
    while len(found) < PLANS:
        plan = random_plan(rng)
        if plan is not None:
            found.append(plan)
    return found


def gap(config):
    """τ·d of a sum of discrete Gaussians (Kairouz, Liu, Steinke 2021), to 50 digits."""
    exponent = -2 * mpmath.pi**2 * config.noise_var
    terms = (mpmath.exp(exponent * k / (k + 1)) for k in range(1, config.g_max))
    return 10 * mpmath.fsum(terms) * (config.subset_k or config.d_padded)


def least_epsilon(rho, delta):
    """The least ε over the orders, to 50 digits (Canonne, Kamath, Steinke 2020)."""

    def at(log_excess):
        excess = mpmath.exp(log_excess)
        order = 1 + excess
        return order * rho + mpmath.log(excess / order) - mpmath.log(delta * order) / excess

    steps = [mpmath.mpf(step) / 8 for step in range(-100, 200)]
    best = min(steps, key=at)
    low, high = best - mpmath.mpf(1) / 8, best + mpmath.mpf(1) / 8
    for _ in range(120):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, right) if at(left) <= at(right) else (left, high)
    return max(mpmath.mpf(0), at((low + high) / 2))


@pytest.mark.slow
def test_p5_no_plan_is_charged_less_than_its_exact_price_or_more_than_was_asked():
    with mpmath.workdps(50):
        for asked, config in plans():
            exact = Fraction(
                config.sensitivity_sq, 2 * config.noise_var * (config.min_sum - config.colluders)
            )
            charged = rho_units(config)
            assert Fraction(charged, UNITS_PER_RHO) >= exact
            assert charged <= asked
            if config.mode is Mode.SECAGG:
                whole = mpmath.mpf(exact.numerator) / exact.denominator + gap(config)
                assert mpmath.mpf(charged) / UNITS_PER_RHO >= whole
            alone = Fraction(config.sensitivity_sq, 2 * config.noise_var)
            assert Fraction(rho_local_units(config), UNITS_PER_RHO) >= alone


def test_p5_the_epsilon_of_random_prices_is_that_of_two_other_implementations():
    rng = random.Random(34)
    with mpmath.workdps(50):
        for _ in range(60):
            units = int(UNITS_PER_RHO * 10 ** rng.uniform(-5, 1))
            ours = epsilon(units, DELTA)
            least = least_epsilon(mpmath.mpf(units) / UNITS_PER_RHO, mpmath.mpf("1e-5"))
            assert float(ours - least) == pytest.approx(0, abs=1e-9 * (1 + ours))
            accountant = RdpAccountant(ORDERS)
            accountant.compose(dp_event.ZCDpEvent(units * RHO_UNIT))
            theirs = accountant.get_epsilon(DELTA)
            assert math.isclose(ours, theirs, rel_tol=2e-3, abs_tol=1e-6)
            assert ours <= theirs * (1 + 1e-9)
