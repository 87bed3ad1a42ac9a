"""The plain path: an update as small as it can be made, for tests among machines that trust each
other. NOT PRIVATE: no noise, no masks.

1. Top-k: the k coordinates of largest magnitude go; what stays behind is added to the next update
   (error feedback; Stich, Cordonnier, Jaggi 2018; Karimireddy et al. 2019), so nothing is lost for
   good.
2. int8: a value is a number of steps of largest/127, rounded to the nearest; the rounding error
   stays behind too.
3. Places as gaps and values, byte by byte of the same rank, under zstd.
The envelope says "plain-update": no round takes it (server_stub.rounds.update_checks reads other
kinds only), and the seal makes none.
"""

import numpy as np
import zstandard
from numpy.typing import NDArray

from agent.errors import InternalError, PeerError
from agent.protocol import envelope

KIND = "plain-update"
LEVEL = 9
MOST_STEPS = 127
MAX_WINDOW_BYTES = 1 << 23
_SCALE_BYTES = 8
_PLACE_BYTES = 4

Vector = NDArray[np.float64]


def compress(update: Vector, left: Vector, k: int) -> tuple[bytes, Vector]:
    """The k largest coordinates of `update` + `left` as an envelope, and what stays behind for the
    next time; both vectors (d,).

    Raises ValueError unless 1 <= k <= d, InternalError NOT_FINITE.
    """
    wanted = update + left
    if not 1 <= k <= len(wanted):
        raise ValueError(f"k: expected 1 to {len(wanted)}")
    if not np.isfinite(wanted).all():
        raise InternalError(
            "NOT_FINITE",
            "The trained update holds a value that is not a number.",
            "Nothing was sent.",
        )
    places = np.sort(np.argpartition(np.abs(wanted), len(wanted) - k)[len(wanted) - k :])
    scale = float(np.abs(wanted[places]).max()) / MOST_STEPS
    steps = np.rint(wanted[places] / scale).astype(np.int8) if scale else np.zeros(k, np.int8)
    gaps = np.diff(places, prepend=-1) - 1
    ranks = gaps.astype("<u4").view(np.uint8).reshape(k, _PLACE_BYTES).T
    plain = np.array([scale], "<f8").tobytes() + ranks.tobytes() + steps.tobytes()
    behind = wanted.copy()
    behind[places] -= steps * scale
    header = {"kind": KIND, "d": len(wanted), "k": k}
    return envelope.encode(header, zstandard.ZstdCompressor(level=LEVEL).compress(plain)), behind


def expand(body: bytes, d: int) -> Vector:
    """The vector (d,) that was sent. Raises PeerError BAD_ENVELOPE, WRONG_SHAPE."""
    read = envelope.decode(body)
    k = read.header.get("k")
    if (
        set(read.header) != {"kind", "d", "k"}
        or (read.header["kind"], read.header["d"]) != (KIND, d)
        or type(k) is not int
        or not 1 <= k <= d
    ):
        raise _wrong("its header is not that of a plain update of this size")
    plain = _unpacked(read.payload, _SCALE_BYTES + (_PLACE_BYTES + 1) * k)
    scale = float(np.frombuffer(plain, "<f8", 1)[0])
    ranks = np.frombuffer(plain, np.uint8, _PLACE_BYTES * k, _SCALE_BYTES).reshape(_PLACE_BYTES, k)
    places = (
        np.cumsum(np.ascontiguousarray(ranks.T).view("<u4").reshape(k).astype(np.int64) + 1) - 1
    )
    if not 0 <= scale <= np.finfo(np.float64).max / MOST_STEPS or places[-1] >= d:
        raise _wrong("a place or the scale is out of range")
    vector = np.zeros(d)
    vector[places] = np.frombuffer(plain, np.int8, k, _SCALE_BYTES + _PLACE_BYTES * k) * scale
    return vector


def _unpacked(content: bytes, size: int) -> bytes:
    """Exactly `size` bytes, however large the content claims to be."""
    try:
        with zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).stream_reader(
            content
        ) as reader:
            plain = reader.read(size + 1)
    except zstandard.ZstdError as error:
        raise _wrong("it is not compressed as agreed") from error
    if len(plain) != size:
        raise _wrong(f"expected {size} bytes")
    return plain


def _wrong(detail: str) -> PeerError:
    return PeerError(
        "WRONG_SHAPE",
        "A plain update does not have the agreed form.",
        "Nothing was changed.",
        detail,
    )
