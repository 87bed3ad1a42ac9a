"""The bounds are exact, one-sided, and right for mechanisms whose ρ and ε are known."""

import math

import numpy as np
import pytest
from scipy.stats import binom, norm

from tests.audit.bounds import Answers, at_least, at_most, epsilon_at_least, rho_at_least


@pytest.mark.parametrize("successes", [0, 1, 37, 199, 200])
def test_clopper_pearson_bounds_leave_exactly_the_doubt(successes):
    low, high = at_least(successes, 200, 0.01), at_most(successes, 200, 0.01)
    assert low <= successes / 200 <= high
    if successes:
        assert binom.sf(successes - 1, 200, low) == pytest.approx(0.01)
    if successes < 200:
        assert binom.cdf(successes, 200, high) == pytest.approx(0.01)


def test_an_attack_that_knows_nothing_shows_nothing():
    assert rho_at_least(Answers(500, 500, 1000), 0.01) == 0.0
    assert epsilon_at_least(Answers(500, 500, 1000), 1e-5, 0.01) == 0.0
    assert epsilon_at_least(Answers(0, 0, 1000), 1e-5, 0.01) == 0.0


@pytest.mark.parametrize("shift", [0.2, 1.0, 2.0])
def test_the_bound_on_rho_nears_that_of_a_gaussian_and_stays_below(shift):
    runs, rho = 10**8, shift**2 / 2
    shown = []
    for cut in np.linspace(-1, 4, 26):
        answers = Answers(*(int(runs * norm.sf(cut - at)) for at in (shift, 0.0)), runs)
        shown.append(rho_at_least(answers, 0.01))
    assert 0.5 * rho < max(shown) <= rho


def test_randomised_response_shows_its_epsilon():
    runs, wanted = 10**8, 1.5
    honest = math.exp(wanted) / (1 + math.exp(wanted))
    answers = Answers(int(runs * honest), int(runs * (1 - honest)), runs)
    assert wanted - 0.01 < epsilon_at_least(answers, 0.0, 0.01) <= wanted
