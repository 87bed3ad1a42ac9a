"""Arithmetic in GF(2²⁵⁶ + 297) agrees with Python's, and Lagrange weights open what polynomials
share.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol.field import (
    ELEMENT_BYTES,
    PRIME,
    STEPS_UNREDUCED,
    evaluate,
    from_bytes,
    to_bytes,
    weights_at_zero,
)

ELEMENTS = st.integers(0, PRIME - 1)


def test_the_modulus_is_prime_and_holds_every_secret_of_32_bytes():
    assert all(pow(base, PRIME - 1, PRIME) == 1 for base in (2, 3, 5, 7, 11, 13))  # Fermat
    assert PRIME > 2**256 - 1
    assert PRIME.bit_length() <= 8 * ELEMENT_BYTES


@given(ELEMENTS)
def test_there_and_back(element):
    assert len(to_bytes(element)) == ELEMENT_BYTES
    assert from_bytes(to_bytes(element)) == element


@pytest.mark.parametrize(
    "content", [b"", bytes(32), bytes(34), to_bytes(PRIME), b"\xff" * ELEMENT_BYTES]
)
def test_p11_what_is_no_element_is_refused(content):
    with pytest.raises(ValueError, match="element of the field"):
        from_bytes(content)


@given(st.lists(ELEMENTS, max_size=3 * STEPS_UNREDUCED), st.integers(0, 1024))
def test_a_polynomial_is_the_sum_of_its_terms(coefficients, x):
    assert (
        evaluate(coefficients, x)
        == sum(value * pow(x, power, PRIME) for power, value in enumerate(coefficients)) % PRIME
    )


@given(st.lists(ELEMENTS, min_size=1, max_size=6), st.data())
def test_as_many_points_as_coefficients_give_the_value_at_zero(coefficients, data):
    count = len(coefficients)
    points = data.draw(st.lists(st.integers(1, 1024), min_size=count, max_size=count, unique=True))
    weights = weights_at_zero(points)
    opened = (
        sum(
            weight * evaluate(coefficients, point)
            for weight, point in zip(weights, points, strict=True)
        )
        % PRIME
    )
    assert opened == coefficients[0]


def test_known_weights():
    assert weights_at_zero([1, 2, 3]) == [3, PRIME - 3, 1]
    assert weights_at_zero([5]) == [1]


@pytest.mark.parametrize("points", [[0, 1], [PRIME], [2, 2]])
def test_p11_points_that_cannot_be_used_are_refused(points):
    with pytest.raises(ValueError, match="distinct points"):
        weights_at_zero(points)
