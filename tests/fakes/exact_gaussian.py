"""A slow, exact sampler of the discrete Gaussian, with rational numbers only (Canonne, Kamath and
Steinke 2020, algorithms 1 to 3).
"""

import math
from fractions import Fraction


class ExactGaussian:
    def __init__(self, source):
        """`source` has a method randrange: random.Random or random.SystemRandom."""
        self._below = source.randrange

    def draw(self, variance):
        t = math.isqrt(variance) + 1
        while True:
            value = self._laplace(t)
            if self._exp((abs(value) - Fraction(variance, t)) ** 2 / (2 * variance)):
                return value

    def _laplace(self, t):
        while True:
            low = self._below(t)
            if not self._exp(Fraction(low, t)):
                continue
            high = 0
            while self._exp(Fraction(1)):
                high += 1
            value, negative = low + t * high, self._below(2)
            if not (negative and value == 0):
                return -value if negative else value

    def _exp(self, x):
        """Return True with probability exp(-x)."""
        while x > 1:
            if not self._exp(Fraction(1)):
                return False
            x -= 1
        k = 1
        while self._of(x / k):
            k += 1
        return k % 2 == 1

    def _of(self, p):
        return self._below(p.denominator) < p.numerator
