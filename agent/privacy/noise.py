"""Samples discrete Gaussian noise with integers only: a key stream's words search a 128-bit
cumulative table.

1. P(X = k) ∝ exp(-k²/(2 s²)). The table holds floor(2¹²⁸·P(|X| <= k)); a 128-bit word u picks the
   smallest k with u < table[k].
2. The upper 64 bits decide. The lower 64 are drawn only on a tie of the upper ones, about
   entries·2⁻⁶⁴ of all draws.
3. The table ends where a single value has P(X = k) < 2⁻¹³⁸. All values beyond it together have
   P(|X| > k) < 2⁻¹³² up to s = 316, 2⁻¹³¹ up to s = 511, 2⁻¹²⁷ up to MAX_NOISE_UNITS. The distance
   from the true distribution is at most this and (entries + 1)·2⁻¹²⁸ a coordinate.
4. One table for a large variance would need 13.8 entries for each unit of s. Two small tables
   replace it: X = Y + L·Z, where Y and Z are discrete Gaussians with variances v and w, and
   v + L²·w = s². Completing the square gives P(X = x) ∝ exp(-x²/(2 s²))·Σ_j exp(-(j - μ(x))²/(2 u))
   with u = v·w/s². By Poisson summation this sum is the same for every x within a factor
   1 ± 2.01·exp(-2π² u). L is chosen such that u >= 5, so the factor is 1 ± 2⁻¹⁴¹ (Micciancio and
   Walter 2017 sample this way).
5. No float takes part (Mironov 2012 shows what floats leak). It is not constant-time: an attacker
   who can time this process on this machine is out of scope.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from agent.protocol.limits import MAX_NOISE_UNITS
from agent.protocol.stream import Stream

PRECISION_BITS = 256
TABLE_BITS = 128
TAIL_BITS = 138
"""The table ends where P(X = k) < 2⁻¹³⁸ (rule 3)."""
GUIDE_BITS = 14
SCAN_STEPS = 2
"""Entries tried one by one before a binary search, which only the far tail needs."""
SPLIT_FROM = 1 << 18
"""A smaller variance always has one table."""
LEAST_OVERLAP = 5
"""u of rule 4."""
_CHUNK = 1 << 14


@dataclass(frozen=True)
class Table:
    """Cumulative distribution of |X| for one variance."""

    high: NDArray[np.uint64]
    low: NDArray[np.uint64]
    guide: NDArray[np.int64]
    """For each value of a word's top 14 bits, the first entry that can be the answer."""


def cumulative(noise_var: int, bits: int = TABLE_BITS) -> list[int]:
    """Return floor(2^bits·P(|X| <= k)) for k = 0, 1, ... until the tail is negligible.

    `noise_var` is s² in units². Raises ValueError outside 1 to MAX_NOISE_UNITS².
    """
    _check(noise_var)
    one = 1 << PRECISION_BITS
    ratio = _exp_minus(1, 2 * noise_var)
    shrink = _exp_minus(1, noise_var)
    weight, total, sums = one, one, [one]
    while weight << TAIL_BITS > total:
        weight = weight * ratio >> PRECISION_BITS
        ratio = ratio * shrink >> PRECISION_BITS
        total += 2 * weight
        sums.append(total)
    return [(part << bits) // total for part in sums]


@lru_cache(maxsize=8)
def table(noise_var: int) -> Table:
    """Return the table of a variance; takes 0.1 ms at s = 1, 7 ms at s = 500."""
    entries = cumulative(noise_var)
    entries[-1] = (1 << TABLE_BITS) - 1
    mask = (1 << 64) - 1
    high = np.array([entry >> 64 for entry in entries], np.uint64)
    low = np.array([entry & mask for entry in entries], np.uint64)
    starts = np.arange(1 << GUIDE_BITS, dtype=np.uint64) << np.uint64(64 - GUIDE_BITS)
    return Table(high, low, np.searchsorted(high, starts).astype(np.int64))


def parts(noise_var: int) -> tuple[int, int, int]:
    """Return (L, v, w) of rule 4 with v + L²·w = noise_var, for noise_var >= SPLIT_FROM.

    L is near the fourth root, which keeps both tables small.
    """
    step = 1 << (noise_var.bit_length() // 4 - 1)
    least = step * step * (LEAST_OVERLAP + 1)
    coarse = (noise_var - least) // (step * step)
    fine = noise_var - step * step * coarse
    if fine * coarse < LEAST_OVERLAP * noise_var:
        raise ValueError("the two parts overlap too little")
    return step, fine, coarse


def in_parts(count: int, noise_var: int) -> bool:
    """Whether two small tables and two draws cost less than one large table.

    An entry costs about 1 µs, a draw 1/40 µs.
    """
    return noise_var >= SPLIT_FROM and 16 * math.isqrt(noise_var) > 4096 + count // 32


def sample(count: int, noise_var: int, stream: Stream) -> NDArray[np.int64]:
    """Draw `count` independent integers with variance `noise_var` (units²).

    Raises ValueError outside 1 to MAX_NOISE_UNITS².
    """
    _check(noise_var)
    if not in_parts(count, noise_var):
        return _draw(count, noise_var, stream)
    step, fine, coarse = parts(noise_var)
    noise = _draw(count, coarse, stream)
    noise *= step
    noise += _draw(count, fine, stream)
    return noise


def _check(noise_var: int) -> None:
    if not 1 <= noise_var <= MAX_NOISE_UNITS**2:
        raise ValueError(f"expected a variance between 1 and {MAX_NOISE_UNITS**2}")


def _draw(count: int, noise_var: int, stream: Stream) -> NDArray[np.int64]:
    """Draw from one table."""
    entries = table(noise_var)
    out = np.empty(count, np.int64)
    words, flips = np.empty(_CHUNK, "<u8"), np.empty(_CHUNK, np.uint8)
    for start in range(0, count, _CHUNK):
        piece = out[start : start + _CHUNK]
        upper, sign = words[: len(piece)], flips[: len(piece)]
        stream.fill(upper)
        stream.fill(sign)
        _magnitudes(entries, upper, piece, stream)
        # In two's complement, (x ^ f) - f is x for f = 0 and -x for f = -1.
        sign &= 1
        flip = sign.astype(np.int64)
        np.negative(flip, out=flip)
        piece ^= flip
        piece -= flip
    return out


def _magnitudes(
    entries: Table, upper: NDArray[np.uint64], out: NDArray[np.int64], stream: Stream
) -> None:
    """Find the smallest k with u < table[k], for each word u."""
    np.take(
        entries.guide, (upper >> np.uint64(64 - GUIDE_BITS)).view(np.int64), out=out, mode="clip"
    )
    bounds = entries.high[out]
    left = np.flatnonzero(bounds < upper)
    for _ in range(SCAN_STEPS):
        out[left] += 1
        bounds[left] = entries.high[out[left]]
        left = left[bounds[left] < upper[left]]
    out[left] = np.searchsorted(entries.high, upper[left])
    bounds[left] = entries.high[out[left]]
    for at in np.flatnonzero(bounds == upper):
        out[at] = _break_tie(entries, int(upper[at]), int(out[at]), int(stream.words64(1)[0]))


def _break_tie(entries: Table, upper: int, at: int, lower: int) -> int:
    """Settle a tie of the upper words by the lower ones."""
    last = len(entries.high) - 1
    while at < last and int(entries.high[at]) == upper and lower >= int(entries.low[at]):
        at += 1
    return at


def _exp_minus(numerator: int, denominator: int) -> int:
    """Return exp(-numerator/denominator) in fixed point with PRECISION_BITS bits, by its Taylor
    series.

    0 <= numerator/denominator <= 1.
    """
    guard = 32
    one = 1 << (PRECISION_BITS + guard)
    term, total, step = one, one, 0
    while term:
        step += 1
        term = term * numerator // (denominator * step)
        total += -term if step % 2 else term
    return total >> guard
