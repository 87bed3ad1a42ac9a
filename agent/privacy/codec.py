"""Encodes an update as noised words, and decodes a sum of such words to a mean update (Kairouz,
Liu, Steinke 2021).

1. Clip to the L2 norm C, flip signs and rotate (Walsh-Hadamard) by the round's seed, so that no
   coordinate stands out.
2. Divide by the grid step γ and round at random, up or down, so that the expectation is exact.
3. Check Σq² <= D² exactly, in integers. Round always twice and take the first that holds, so that
   the time does not tell a small update (or none) from one that is clipped; twice more in the rare
   case that neither holds. From here on there are only integers.
4. Add discrete Gaussian noise and reduce modulo 2^B.

The sum of the words decodes to the sum of the updates while it stays within the planned range.
Beyond the range it is refused.
"""

import math

import numpy as np
from numpy.typing import NDArray

from agent.errors import InternalError, PeerError
from agent.privacy.noise import sample
from agent.privacy.plan import MAX_BLOCK, headroom
from agent.privacy.zcdp import sent_words
from agent.protocol.keys import derive
from agent.protocol.messages import RoundConfig
from agent.protocol.packing import unpack
from agent.protocol.stream import Stream

PIECE = 1 << 13
"""Coordinates (whole blocks) per step: they fit the processor's cache, and their memory is
reused."""
MAX_PAIRS = 100
"""Each rounding holds with probability above 0.39 (D² is planned for it), so all fail with
probability 10⁻⁴³."""

Vector = NDArray[np.float64]
Words = NDArray[np.uint32]


def clip(vector: Vector, norm: float) -> Vector:
    """Scale `vector` down to L2 norm `norm` if it is longer. Raises InternalError NOT_FINITE."""
    vector = np.asarray(vector, np.float64)
    largest = max(float(np.max(vector, initial=0.0)), -float(np.min(vector, initial=0.0)))
    if not np.isfinite(largest):  # a nan passes through max and min
        raise InternalError(
            "NOT_FINITE",
            "The trained update holds a value that is not a number.",
            "Nothing was sent.",
        )
    if largest == 0.0 or 1e-150 < largest < 1e150:  # the squares neither vanish nor overflow
        length = _norm(vector)
        # Scaled whatever its length, by 1 if need be: the time must not tell (rule 3).
        return vector * (norm / length if length > norm else 1.0)
    scaled = vector / largest
    scaled_length = _norm(scaled)
    return vector.copy() if largest * scaled_length <= norm else scaled * (norm / scaled_length)


def rotate(vector: Vector, config: RoundConfig) -> Vector:
    """Pad, flip signs by the round's seed, and apply the orthonormal Walsh-Hadamard transform to
    each block; shape (d_padded,).
    """
    wide = np.zeros(config.d_padded)
    wide[: config.d] = vector
    _flip(wide, config)
    _hadamard(wide)
    return wide


def rotate_back(wide: Vector, config: RoundConfig) -> Vector:
    """Invert `rotate`; shape (d,)."""
    back = wide.copy()
    _hadamard(back)
    _flip(back, config)
    return back[: config.d]


def subset(config: RoundConfig) -> NDArray[np.int64]:
    """Return the rotated coordinates that all devices send in this round, ascending (rand-k with a
    shared seed).
    """
    if not config.subset_k:
        return np.arange(config.d_padded)
    keys = Stream(derive(bytes.fromhex(config.subset_seed), b"subset")).words64(config.d_padded)
    return np.sort(np.argsort(keys, kind="stable")[: config.subset_k])


def quantise(vector: Vector, config: RoundConfig, stream: Stream) -> NDArray[np.int64]:
    """Clip, rotate and round to the grid so that Σq² <= D² holds exactly; shape (words sent,).

    Raises InternalError WRONG_SHAPE, NOT_FINITE, SENSITIVITY.
    """
    if vector.shape != (config.d,):
        raise InternalError("WRONG_SHAPE", f"Expected {config.d} parameters, got {vector.shape}.")
    rotated = rotate(clip(vector, float(config.clip)), config)
    if config.subset_k:
        rotated = rotated[subset(config)]
    rotated /= float(config.grid)
    attempts = [np.empty(len(rotated), np.int64) for _ in range(2)]
    for _ in range(MAX_PAIRS):
        for attempt in attempts:
            _round_at_random(rotated, attempt, stream)
        holds = [_within_sensitivity(attempt, config.sensitivity_sq) for attempt in attempts]
        if any(holds):
            # The first that holds, as if there were no second: the distribution is that of
            # rounding again until one holds.
            return attempts[holds.index(True)]
    raise InternalError(
        "SENSITIVITY", "The update could not be rounded within its bound.", "Nothing was sent."
    )


def encode_update(vector: Vector, config: RoundConfig, entropy: bytes) -> Words:
    """Clip, rotate, round and noise an update. Raises as `quantise` does.

    `entropy`: 32 fresh bytes from the operating system, used for nothing else.
    """
    quantised = quantise(vector, config, Stream(derive(entropy, b"round")))
    quantised += sample(len(quantised), config.noise_var, Stream(derive(entropy, b"noise")))
    return to_words(quantised, config.bits)


def to_words(values: NDArray[np.int64], bits: int) -> Words:
    """Reduce signed integers modulo 2^bits."""
    return values.astype(np.uint32) & np.uint32((1 << bits) - 1)


def signed(words: NDArray[np.integer], bits: int) -> NDArray[np.int64]:
    """Read words modulo 2^bits as integers from -2^(bits-1) to 2^(bits-1) - 1."""
    values = words.astype(np.int64) & ((1 << bits) - 1)
    half = 1 << (bits - 1)
    return (values ^ half) - half


def read_update(payload: bytes, config: RoundConfig) -> NDArray[np.int64]:
    """Return the noised integers of one local update; sum them in 64 bits.

    Raises PeerError WRONG_SHAPE, SUM_OUT_OF_RANGE.
    """
    values = signed(unpack(payload, config.bits, sent_words(config)), config.bits)
    _check_range(values, config, 1)
    return values


def decode_sum(words_sum: Words | NDArray[np.int64], config: RoundConfig, count: int) -> Vector:
    """Return the mean of `count` updates from the sum of their words, shape (d,).

    `words_sum`: uint32 words modulo 2^bits (a group's sum), or int64 sums of `read_update` (local
    mode, any count). Raises PeerError WRONG_SHAPE, or SUM_OUT_OF_RANGE for a sum that honest
    updates cannot reach.
    """
    if count < 1 or words_sum.shape != (sent_words(config),):
        raise PeerError(
            "WRONG_SHAPE", "A sum does not have the round's shape.", "Nothing was changed."
        )
    values = (
        signed(words_sum, config.bits)
        if words_sum.dtype == np.uint32
        else words_sum.astype(np.int64)
    )
    _check_range(values, config, count)
    wide = np.zeros(config.d_padded)
    # Unbiased: a coordinate is kept with probability k/d_padded.
    scale = float(config.grid) / count * (config.d_padded / sent_words(config))
    wide[subset(config)] = values * scale
    return rotate_back(wide, config)


def noise_sd(config: RoundConfig, count: int) -> float:
    """Return the standard deviation of the noise in one coordinate of the mean of `count` updates,
    in parameter units.
    """
    return float(config.grid) * math.sqrt(
        config.noise_var * config.d_padded / sent_words(config) / count
    )


def _check_range(values: NDArray[np.int64], config: RoundConfig, count: int) -> None:
    largest = int(np.max(np.abs(values), initial=0))
    if largest > headroom(config, count):
        raise PeerError(
            "SUM_OUT_OF_RANGE",
            "A sum is larger than honest updates can make it.",
            "It was discarded.",
            f"{largest} for {count}",
        )


def _norm(vector: Vector) -> float:
    """Return the L2 norm, without BLAS: its threads would spin for longer than the sum takes."""
    return float(np.sqrt(np.einsum("i,i->", vector, vector)))


def _within_sensitivity(values: NDArray[np.int64], bound: int) -> bool:
    largest = int(np.max(np.abs(values), initial=0))
    # Both tests, whatever the first says: the time must not tell. Where the first holds, the second
    # stays within 64 bits: bound <= 2^40 and at most 2^21 words.
    return (largest * largest <= bound) & (int(values @ values) <= bound)


def _round_at_random(units: Vector, out: NDArray[np.int64], stream: Stream) -> None:
    """Round each value up or down with an exact expectation: floor(x + u), u uniform in [0, 1) with
    53 bits.
    """
    words, spare = np.empty(PIECE, "<u8"), np.empty(PIECE)
    for start in range(0, len(units), PIECE):
        piece = units[start : start + PIECE]
        random, uniform = words[: len(piece)], spare[: len(piece)]
        stream.fill(random)
        random >>= np.uint64(11)
        np.multiply(random, 2.0**-53, out=uniform)
        uniform += piece
        np.floor(uniform, out=uniform)
        out[start : start + PIECE] = uniform


def _flip(wide: Vector, config: RoundConfig) -> None:
    """Multiply by the round's signs, in place: a 1 bit flips the sign."""
    bits = np.unpackbits(
        Stream(derive(bytes.fromhex(config.rotation_seed), b"rotate")).bytes8(
            -(-config.d_padded // 8)
        )
    )
    for start in range(0, len(wide), PIECE):
        wide[start : start + PIECE] *= 1.0 - 2.0 * bits[start : min(start + PIECE, len(wide))]


def _hadamard(wide: Vector) -> None:
    """Apply the orthonormal Walsh-Hadamard transform to each block, in place; its own inverse."""
    block = min(len(wide), MAX_BLOCK)
    spares = np.empty((2, min(PIECE, len(wide))))
    for start in range(0, len(wide), PIECE):
        piece = wide[start : start + PIECE]
        rows, spare, other = piece, spares[0, : len(piece)], spares[1, : len(piece)]
        width = 1
        while width < block:
            source, target = rows.reshape(-1, 2, width), spare.reshape(-1, 2, width)
            np.add(source[:, 0], source[:, 1], out=target[:, 0])
            np.subtract(source[:, 0], source[:, 1], out=target[:, 1])
            rows, spare = spare, (other if rows is piece else rows)
            width *= 2
        np.multiply(rows, block**-0.5, out=piece)
