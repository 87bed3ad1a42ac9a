"""The tail of the noncentral χ² distribution is scipy's."""

import pytest
from scipy.stats import chi2, ncx2

from server_stub.validation.chi_square import upper_quantile, upper_tail


@pytest.mark.parametrize("freedom", [1, 5, 116, 1024, 5000])
@pytest.mark.parametrize("noncentrality", [0.0, 0.01, 1.0, 30.0, 2000.0])
@pytest.mark.parametrize("tail", [1e-3, 1e-5])
def test_quantiles_agree_with_an_independent_library(freedom, noncentrality, tail):
    of_library = ncx2 if noncentrality else chi2
    arguments = (freedom, noncentrality) if noncentrality else (freedom,)
    value = upper_quantile(tail, freedom, noncentrality)
    error = 0.07 if freedom == 1 else 0.03
    assert of_library.sf(value, *arguments) == pytest.approx(tail, rel=error)


@pytest.mark.parametrize("offset", [-1e-3, -1e-6, 0.0, 1e-6, 1e-3])
def test_near_the_mean_the_formula_is_finite_and_right(offset):
    value = (100 + 9) * (1 + offset)
    assert upper_tail(value, 100, 9) == pytest.approx(ncx2.sf(value, 100, 9), rel=0.01)


def test_below_zero_everything_is_above():
    assert upper_tail(-1.0, 5, 2) == 1
