"""Arithmetic in GF(p) with p = 2²⁵⁶ + 297, the first prime above 2²⁵⁶: each 32-byte secret is one
element.
"""

PRIME = 2**256 + 297
ELEMENT_BYTES = 33
STEPS_UNREDUCED = 32
"""Of Horner's rule. For a small x (a device's number), multiplying larger numbers is cheaper than
reducing each step."""


def to_bytes(element: int) -> bytes:
    return element.to_bytes(ELEMENT_BYTES, "big")


def from_bytes(content: bytes) -> int:
    """Read an element. Raises ValueError unless it has 33 bytes and is below p."""
    element = int.from_bytes(content, "big")
    if len(content) != ELEMENT_BYTES or element >= PRIME:
        raise ValueError("expected an element of the field")
    return element


def evaluate(coefficients: list[int], x: int) -> int:
    """Evaluate the polynomial with these coefficients, constant term first, at x."""
    result = 0
    for end in range(len(coefficients), 0, -STEPS_UNREDUCED):
        for coefficient in reversed(coefficients[max(0, end - STEPS_UNREDUCED) : end]):
            result = result * x + coefficient
        result %= PRIME
    return result


def weights_at_zero(points: list[int]) -> list[int]:
    """Return the Lagrange weights: Σ weight·f(point) = f(0).

    Raises ValueError unless the points are distinct and not zero.
    """
    if len(set(points)) != len(points) or any(point % PRIME == 0 for point in points):
        raise ValueError("expected distinct points other than zero")
    product = 1
    for point in points:
        product = product * point % PRIME
    weights = []
    for own in points:
        denominator = own
        for other in points:
            if other != own:
                denominator = denominator * (other - own) % PRIME
        weights.append(product * pow(denominator, -1, PRIME) % PRIME)
    return weights
