"""The plain path: an update as small as possible, for tests among machines that trust each other.
NOT PRIVATE: it has no noise and no masks.

1. Top-k: the k coordinates of largest magnitude are sent. The rest is the residual, which is added
   to the next update (error feedback: Stich, Cordonnier, Jaggi 2018; Karimireddy et al. 2019), so
   nothing is lost for good.
2. int8: a value is a number of steps of largest/127, rounded to the nearest. The rounding error
   joins the residual.
3. Positions as gaps, grouped by byte rank, then values, under zstd.

The envelope says "plain-update". No round accepts it (server_stub.rounds.update_checks reads other
kinds only), and agent.privacy.seal makes none.
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


def compress(update: Vector, residual: Vector, k: int) -> tuple[bytes, Vector]:
    """Return the k largest coordinates of `update` + `residual` as an envelope, and the new
    residual.

    All vectors have the shape (d,). Raises ValueError unless 1 <= k <= d, InternalError NOT_FINITE.
    """
    total = update + residual
    if not 1 <= k <= len(total):
        raise ValueError(f"k: expected 1 to {len(total)}")
    if not np.isfinite(total).all():
        raise InternalError(
            "NOT_FINITE",
            "The trained update holds a value that is not a number.",
            "Nothing was sent.",
        )
    places = np.sort(np.argpartition(np.abs(total), len(total) - k)[len(total) - k :])
    scale = float(np.abs(total[places]).max()) / MOST_STEPS
    steps = np.rint(total[places] / scale).astype(np.int8) if scale else np.zeros(k, np.int8)
    gaps = np.diff(places, prepend=-1) - 1
    ranks = gaps.astype("<u4").view(np.uint8).reshape(k, _PLACE_BYTES).T
    plain = np.array([scale], "<f8").tobytes() + ranks.tobytes() + steps.tobytes()
    rest = total.copy()
    rest[places] -= steps * scale
    header = {"kind": KIND, "d": len(total), "k": k}
    return envelope.encode(header, zstandard.ZstdCompressor(level=LEVEL).compress(plain)), rest


def expand(body: bytes, d: int) -> Vector:
    """Return the vector (d,) that was sent. Raises PeerError BAD_ENVELOPE, WRONG_SHAPE."""
    message = envelope.decode(body)
    k = message.header.get("k")
    if (
        set(message.header) != {"kind", "d", "k"}
        or (message.header["kind"], message.header["d"]) != (KIND, d)
        or type(k) is not int
        or not 1 <= k <= d
    ):
        raise _wrong("its header does not fit a plain update of this size")
    plain = _decompress(message.payload, _SCALE_BYTES + (_PLACE_BYTES + 1) * k)
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


def _decompress(content: bytes, size: int) -> bytes:
    """Decompress to exactly `size` bytes, however large the content claims to be."""
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
