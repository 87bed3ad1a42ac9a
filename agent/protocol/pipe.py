"""Frames on the pipe between the agent and a worker.

Layout (integers big-endian): u32 header length, JSON header, u64 blob length, blob. The blob is the
concatenation of the parts whose lengths the header's "parts" lists. Each length is checked against
its bound before anything is read or stored.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from agent.errors import PeerError

MAX_HEADER_BYTES = 64 * 1024
"""A header holds at most one path and one message."""
MAX_BLOB_BYTES = 64 * 1024 * 1024
"""A table of 200,000 rows takes 46 MB."""
MAX_PARTS = 8


@dataclass(frozen=True)
class Frame:
    """One message: a JSON object and up to 8 byte strings."""

    header: Mapping[str, Any]  # JSON: any of its types
    parts: tuple[bytes, ...] = field(default=(), repr=False)


def encode(frame: Frame) -> bytes:
    """Return the frame's bytes. Raises ValueError for a frame that a reader would refuse."""
    head = json.dumps({**frame.header, "parts": [len(part) for part in frame.parts]}).encode(
        "ascii"
    )
    blob = b"".join(frame.parts)
    if len(head) > MAX_HEADER_BYTES or len(blob) > MAX_BLOB_BYTES or len(frame.parts) > MAX_PARTS:
        raise ValueError("the frame is too large")
    return len(head).to_bytes(4, "big") + head + len(blob).to_bytes(8, "big") + blob


class FrameDecoder:
    """Cuts a stream of bytes into frames; buffers at most one unfinished frame."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, more: bytes) -> Iterator[Frame]:
        """Yield each frame that `more` completes. Raises PeerError BAD_FRAME."""
        self._buffer += more
        while (size := self._size()) is not None and len(self._buffer) >= size:
            whole = bytes(self._buffer[:size])
            del self._buffer[:size]
            yield _parse(whole)

    def _size(self) -> int | None:
        """Return the size of the first frame, once both of its lengths are known."""
        if len(self._buffer) < 4:
            return None
        head = _bounded(int.from_bytes(self._buffer[:4], "big"), MAX_HEADER_BYTES)
        if len(self._buffer) < 12 + head:
            return None
        blob = int.from_bytes(self._buffer[4 + head : 12 + head], "big")
        return 12 + head + _bounded(blob, MAX_BLOB_BYTES)


def read_frame(stream: BinaryIO) -> Frame:
    """Read one frame from a blocking stream.

    Raises PeerError BAD_FRAME, also when the stream ends early.
    """
    head_length = _read_exactly(stream, 4)
    head = _read_exactly(stream, _bounded(int.from_bytes(head_length, "big"), MAX_HEADER_BYTES))
    blob_length = _read_exactly(stream, 8)
    blob = _read_exactly(stream, _bounded(int.from_bytes(blob_length, "big"), MAX_BLOB_BYTES))
    return _parse(head_length + head + blob_length + blob)


def _read_exactly(stream: BinaryIO, size: int) -> bytes:
    content = bytearray()
    while len(content) < size:
        more = stream.read(size - len(content))
        if not more:
            raise _bad("the stream ended")
        content += more
    return bytes(content)


def _bounded(size: int, maximum: int) -> int:
    if size > maximum:
        raise _bad(f"expected at most {maximum} bytes, got {size}")
    return size


def _parse(whole: bytes) -> Frame:
    length = int.from_bytes(whole[:4], "big")
    try:
        header = json.loads(whole[4 : 4 + length])
        sizes = header.pop("parts")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise _bad("the header is not a JSON object with parts") from error
    blob = whole[12 + length :]
    if (
        not isinstance(sizes, list)
        or len(sizes) > MAX_PARTS
        or not all(type(size) is int and size >= 0 for size in sizes)
    ):
        raise _bad("the parts are not a list of lengths")
    if sum(sizes) != len(blob):
        raise _bad("the parts and the blob differ in length")
    return Frame(header, tuple(_cut(blob, sizes)))


def _cut(blob: bytes, sizes: list[int]) -> Iterator[bytes]:
    start = 0
    for size in sizes:
        yield blob[start : start + size]
        start += size


def _bad(detail: str) -> PeerError:
    return PeerError(
        "BAD_FRAME",
        "A message between agent and worker could not be read.",
        "Nothing was changed. Try again.",
        detail,
    )
