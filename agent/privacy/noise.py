"""Discrete Gaussian noise from integers only: a 128-bit cumulative table, searched with a key
stream's words.

1. P(X = k) ∝ exp(-k²/(2 s²)). The table holds floor(2¹²⁸·P(|X| <= k)); a 128-bit word u picks the
   smallest k with u < table[k].
2. The upper 64 bits decide; the lower 64 are drawn only when the upper ones tie (about entries·2⁻⁶⁴
   of all draws).
3. The distance from the true distribution is at most (entries + 1)·2⁻¹²⁸ + 2⁻¹³⁸ a coordinate.
4. A large variance has no table of its own (13.8 entries for each unit of s) but two small ones: X
   = Y + L·Z, Y and Z discrete Gaussians with variances v and w, v + L²·w = s². By completing the
   square P(X = x) ∝ exp(-x²/(2 s²))·Σ_j exp(-(j - μ(x))²/(2 u)) with u = v·w/s²; by Poisson
   summation that sum is the same for every x within a factor 1 ± 2.01·exp(-2π² u). L is chosen so
   that u >= 5: the factor is 1 ± 2⁻¹⁴¹ (Micciancio, Walter 2017 sample this way).
5. No float comes near it (Mironov 2012). Not constant-time: somebody who can time this process on
   this machine is out of scope.
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
"""Where P(|X| > k) < 2⁻¹³⁸ the table ends."""
GUIDE_BITS = 14
SCAN_STEPS = 2
"""Entries that are tried one by one; what lies further (the far tail) is searched by halving."""
SPLIT_FROM = 1 << 18
"""Variances below always have one table."""
LEAST_OVERLAP = 5
"""u of rule 4."""
_CHUNK = 1 << 14


@dataclass(frozen=True)
class Table:
    """Cumulative distribution of |X| for one variance."""

    high: NDArray[np.uint64]
    low: NDArray[np.uint64]
    guide: NDArray[np.int64]
    """For each value of the top 14 bits the first entry that can be the answer."""


def cumulative(noise_var: int, bits: int = TABLE_BITS) -> list[int]:
    """floor(2^bits·P(|X| <= k)) for k = 0, 1, ... until the tail is negligible.

    `noise_var` is s² in units².
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
    """The table of a variance; 0.1 ms at s = 1, 7 ms at s = 500."""
    entries = cumulative(noise_var)
    entries[-1] = (1 << TABLE_BITS) - 1
    mask = (1 << 64) - 1
    high = np.array([entry >> 64 for entry in entries], np.uint64)
    low = np.array([entry & mask for entry in entries], np.uint64)
    starts = np.arange(1 << GUIDE_BITS, dtype=np.uint64) << np.uint64(64 - GUIDE_BITS)
    return Table(high, low, np.searchsorted(high, starts).astype(np.int64))


def parts(noise_var: int) -> tuple[int, int, int]:
    """(L, v, w) of rule 4 with v + L²·w = noise_var, for noise_var >= SPLIT_FROM: L near the fourth
    root makes both tables small.
    """
    step = 1 << (noise_var.bit_length() // 4 - 1)
    least = step * step * (LEAST_OVERLAP + 1)
    coarse = (noise_var - least) // (step * step)
    fine = noise_var - step * step * coarse
    if fine * coarse < LEAST_OVERLAP * noise_var:
        raise ValueError("the two parts overlap too little")
    return step, fine, coarse


def in_parts(count: int, noise_var: int) -> bool:
    """Whether two small tables and two draws cost less than one large table (about 1 µs an entry
    against 1/40 µs a draw).
    """
    return noise_var >= SPLIT_FROM and 16 * math.isqrt(noise_var) > 4096 + count // 32


def sample(count: int, noise_var: int, stream: Stream) -> NDArray[np.int64]:
    """Draw `count` independent integers with variance `noise_var` (units²)."""
    _check(noise_var)
    if not in_parts(count, noise_var):
        return _drawn(count, noise_var, stream)
    step, fine, coarse = parts(noise_var)
    drawn = _drawn(count, coarse, stream)
    drawn *= step
    drawn += _drawn(count, fine, stream)
    return drawn


def _check(noise_var: int) -> None:
    if not 1 <= noise_var <= MAX_NOISE_UNITS**2:
        raise ValueError(f"expected a variance between 1 and {MAX_NOISE_UNITS**2}")


def _drawn(count: int, noise_var: int, stream: Stream) -> NDArray[np.int64]:
    """Draw from one table."""
    made = table(noise_var)
    out = np.empty(count, np.int64)
    words, flips = np.empty(_CHUNK, "<u8"), np.empty(_CHUNK, np.uint8)
    for start in range(0, count, _CHUNK):
        piece = out[start : start + _CHUNK]
        upper, sign = words[: len(piece)], flips[: len(piece)]
        stream.fill(upper)
        stream.fill(sign)
        _magnitudes(made, upper, piece, stream)
        sign &= 1
        flip = sign.astype(np.int64)
        np.negative(flip, out=flip)
        piece ^= flip
        piece -= flip
    return out


def _magnitudes(
    made: Table, upper: NDArray[np.uint64], out: NDArray[np.int64], stream: Stream
) -> None:
    """The smallest k with u < table[k], for each word u."""
    np.take(made.guide, (upper >> np.uint64(64 - GUIDE_BITS)).view(np.int64), out=out, mode="clip")
    found = made.high[out]
    left = np.flatnonzero(found < upper)
    for _ in range(SCAN_STEPS):
        out[left] += 1
        found[left] = made.high[out[left]]
        left = left[found[left] < upper[left]]
    out[left] = np.searchsorted(made.high, upper[left])
    found[left] = made.high[out[left]]
    for at in np.flatnonzero(found == upper):
        out[at] = _resolved(made, int(upper[at]), int(out[at]), int(stream.words64(1)[0]))


def _resolved(made: Table, upper: int, at: int, lower: int) -> int:
    """Settle a tie of the upper words with the lower ones."""
    last = len(made.high) - 1
    while at < last and int(made.high[at]) == upper and lower >= int(made.low[at]):
        at += 1
    return at


def _exp_minus(numerator: int, denominator: int) -> int:
    """exp(-numerator/denominator) as a fixed-point integer with PRECISION_BITS bits; 0 <=
    numerator/denominator <= 1.
    """
    guard = 32
    one = 1 << (PRECISION_BITS + guard)
    term, total, step = one, one, 0
    while term:
        step += 1
        term = term * numerator // (denominator * step)
        total += -term if step % 2 else term
    return total >> guard
