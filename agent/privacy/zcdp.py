"""Prices of rounds in zero-concentrated differential privacy (ρ-zCDP), and their meaning as ε.

1. Prices are integers in units of 2⁻⁴⁰ ρ, rounded up, so that a sum of prices is exact and never
   too small.
2. A price has no amplification by sampling: a device cannot check that the server samples, so
   sampling lowers no price.
3. ε is rounded up too: decimal arithmetic and a margin for its errors, so that no figure lies below
   the bound that it stands for.
4. Sources: Canonne, Kamath, Steinke 2020 (discrete Gaussian, ε from ρ); Kairouz, Liu, Steinke 2021
   (sum of discrete Gaussians); Feldman, Zrnic 2021 (a filter may add up adaptively chosen prices).
"""

import math
from collections.abc import Callable
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from functools import lru_cache

from agent.protocol.messages import Mode, RoundConfig

RHO_UNIT = 2.0**-40
"""ρ of one unit."""
UNITS_PER_RHO = 2**40
_DIGITS = 40
_MARGIN = Decimal("1e-30")
"""More than the few roundings to _DIGITS digits can amount to, relative to the largest term."""


def rho_units(config: RoundConfig) -> int:
    """Return the ledger's price of one round (`epsilon_ledger`).

    The price of the smallest sum that may be opened, without the noise of the colluders.
    """
    if config.mode is Mode.LOCAL:
        return rho_local_units(config)
    return rho_sum_units(config, config.min_sum - config.colluders, config.g_max)


def rho_sum_units(config: RoundConfig, honest: int, most: int) -> int:
    """Return the price of a sum of at most `most` updates of which `honest` bring their noise.

    D²/(2 s² honest) + τ·d (Kairouz, Liu, Steinke 2021).
    """
    price = Fraction(config.sensitivity_sq, 2 * config.noise_var * honest)
    gap = _sum_gap(config.noise_var, most) * sent_words(config)
    return math.ceil((price + gap) * UNITS_PER_RHO)


def rho_local_units(config: RoundConfig) -> int:
    """Return the price if only this device's own noise protects it (`epsilon_local`)."""
    return math.ceil(Fraction(config.sensitivity_sq * UNITS_PER_RHO, 2 * config.noise_var))


def sent_words(config: RoundConfig) -> int:
    """Return the number of coordinates that a device sends: the rotated vector, or its subset."""
    return config.subset_k or config.d_padded


def epsilon(units: int, delta: float) -> float:
    """Return the ε of (ε, δ)-differential privacy that `units` of ρ imply, rounded up; 0.0 for
    none.

    The minimum over a > 1 of a·ρ + ln(1 - 1/a) - ln(δ·a)/(a-1) (Canonne, Kamath, Steinke 2020).
    Each a gives a valid ε, so a search in floats that stops early errs on the safe side. The value
    at the a found is computed with _DIGITS digits.
    """
    if units < 0 or not 0 < delta < 1:
        raise ValueError("expected units >= 0 and 0 < delta < 1")
    if units == 0:
        return 0.0
    rho = units * RHO_UNIT

    def at(log_excess: float) -> float:
        excess = math.exp(log_excess)
        order = 1 + excess
        return order * rho + math.log(excess / order) - math.log(delta * order) / excess

    return _epsilon_at(math.exp(_minimum(at, -12.0, 40.0)), units, delta)


def epsilon_between(units: int, delta: float) -> float:
    """Return the ε between any two updates of one device, where `epsilon` is about an update and
    none.

    Two updates lie twice as far apart as an update and a zero, and ρ grows with the square.
    """
    return epsilon(4 * units, delta)


@lru_cache(maxsize=64)
def rho_for_epsilon(max_epsilon: float, delta: float) -> int:
    """Return the most units of ρ whose ε is at most `max_epsilon`, rounded down."""
    if max_epsilon <= 0:
        return 0
    low, high = 0, UNITS_PER_RHO
    while epsilon(high, delta) <= max_epsilon:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if epsilon(middle, delta) <= max_epsilon else (low, middle)
    return low


def _epsilon_at(excess: float, units: int, delta: float) -> float:
    """Return the bound at the order 1 + `excess`, rounded up."""
    with localcontext(Context(prec=_DIGITS)):
        over = Decimal(excess)
        order = 1 + over
        # 0.00001 as a float is a little more than that; whoever wrote it meant no more.
        failure = min(Decimal(delta), Decimal(repr(delta)))
        terms = (
            order * units / UNITS_PER_RHO,
            (over / order).ln(),
            -(failure * order).ln() / over,
        )
        largest = max(Decimal(1), *map(abs, terms))
        bound = sum(terms, _MARGIN * largest)
    return max(0.0, _ceiling(bound))


def _ceiling(value: Decimal) -> float:
    """Return the smallest float that is not below `value`."""
    nearest = float(value)
    return nearest if Decimal(nearest) >= value else math.nextafter(nearest, math.inf)


def _sum_gap(noise_var: int, most: int) -> Fraction:
    """Return τ: how far a sum of up to `most` discrete Gaussians is from one, rounded up.

    τ = 10·Σ_{k=1}^{n-1} exp(-2π² s² k/(k+1)) <= 10 (n-1) exp(-π² s²).
    """
    exponent = min(math.pi**2 * noise_var * (1 - 1e-12), 700.0)
    return Fraction(10 * (most - 1)) * Fraction(math.exp(-exponent) * (1 + 1e-9))


def _minimum(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where a unimodal function has its minimum, by golden-section search."""
    ratio = (math.sqrt(5) - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = function(left), function(right)
    for _ in range(80):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = function(right)
    return (low + high) / 2
