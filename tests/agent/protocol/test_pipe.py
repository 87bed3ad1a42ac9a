"""Frames arrive whole however the stream is cut, and bytes that are no frame are refused before
they are kept.
"""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import AegisError
from agent.protocol.pipe import (
    MAX_BLOB_BYTES,
    MAX_HEADER_BYTES,
    MAX_PARTS,
    Frame,
    FrameDecoder,
    encode,
    read_frame,
)

HEADERS = st.dictionaries(
    st.text(max_size=5).filter(lambda name: name != "parts"),
    st.integers() | st.text(max_size=5),
    max_size=4,
)
FRAMES = st.builds(Frame, HEADERS, st.lists(st.binary(max_size=20), max_size=MAX_PARTS).map(tuple))


def raw(head, blob=b"", head_size=None, blob_size=None):
    sizes = (
        len(head) if head_size is None else head_size,
        len(blob) if blob_size is None else blob_size,
    )
    return sizes[0].to_bytes(4, "big") + head + sizes[1].to_bytes(8, "big") + blob


def refused(read):
    with pytest.raises(AegisError) as raised:
        read()
    assert raised.value.code == "BAD_FRAME"
    return raised.value.detail


@given(st.lists(FRAMES, max_size=4), st.lists(st.integers(1, 40), min_size=1))
def test_the_same_frames_come_out_however_the_stream_is_cut(frames, cuts):
    stream, decoder, decoded, at = b"".join(map(encode, frames)), FrameDecoder(), [], 0
    while at < len(stream):
        size = cuts[len(decoded) % len(cuts)]
        decoded += decoder.feed(stream[at : at + size])
        at += size
    assert decoded == frames


@given(FRAMES)
def test_a_blocking_stream_gives_one_frame_and_stays_where_it_ends(frame):
    stream = io.BytesIO(encode(frame) + b"next")
    assert read_frame(stream) == frame
    assert stream.read() == b"next"


def test_the_layout_is_fixed():
    head = b'{"job": "scan", "parts": [2, 0, 1]}'
    assert (
        encode(Frame({"job": "scan"}, (b"ab", b"", b"c")))
        == len(head).to_bytes(4, "big") + head + (3).to_bytes(8, "big") + b"abc"
    )


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (raw(b'{"parts": [1]}'), "differ in length"),
        (raw(b'{"parts": [1]}', b"ab"), "differ in length"),
        (raw(b'{"parts": [-1, 2]}', b"a"), "list of lengths"),
        (raw(b'{"parts": [true]}', b"a"), "list of lengths"),
        (raw(b'{"parts": [1.0]}', b"a"), "list of lengths"),
        (raw(b'{"parts": {}}'), "list of lengths"),
        (raw(json.dumps({"parts": [0] * (MAX_PARTS + 1)}).encode()), "list of lengths"),
        (raw(b"{}"), "JSON object with parts"),
        (raw(b"[]"), "JSON object with parts"),
        (raw(b'"parts"'), "JSON object with parts"),
        (raw(b"\xff\xff"), "JSON object with parts"),
        (raw(b"[" * 60_000), "JSON object with parts"),
        (raw(b'{"parts": [' + b"9" * 5000 + b"]}"), "JSON object with parts"),
    ],
)
def test_p11_both_readers_refuse_what_is_no_frame(content, detail):
    assert detail in refused(lambda: read_frame(io.BytesIO(content)))
    assert detail in refused(lambda: list(FrameDecoder().feed(content)))


@pytest.mark.parametrize(
    "content", [(MAX_HEADER_BYTES + 1).to_bytes(4, "big"), raw(b"{}", blob_size=MAX_BLOB_BYTES + 1)]
)
def test_p11_a_length_beyond_its_bound_is_refused_before_anything_is_kept(content):
    assert "at most" in refused(lambda: read_frame(io.BytesIO(content + bytes(100))))
    assert "at most" in refused(lambda: list(FrameDecoder().feed(content)))


@given(st.integers(0, 30))
def test_p11_a_stream_that_ends_in_a_frame_is_refused(cut):
    whole = encode(Frame({"a": 1}, (b"xyz",)))
    assert (
        refused(lambda: read_frame(io.BytesIO(whole[: min(cut, len(whole) - 1)])))
        == "the stream ended"
    )


@pytest.mark.parametrize(
    "frame",
    [
        Frame({"text": "x" * MAX_HEADER_BYTES}),
        Frame({}, (b"",) * (MAX_PARTS + 1)),
        Frame({}, (bytes(MAX_BLOB_BYTES // 2), bytes(MAX_BLOB_BYTES // 2 + 1))),
    ],
    ids=["header", "parts", "blob"],
)
def test_what_a_reader_would_refuse_is_not_written(frame):
    with pytest.raises(ValueError, match="too large"):
        encode(frame)
