"""Events survive the pipe, and a worker that was taken over cannot make its parent believe in a
form that was not agreed.
"""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import AegisError
from agent.protocol import jobs, pipe
from agent.protocol.jobs import (
    Attempted,
    Checkpointed,
    Confined,
    Done,
    ExtractedRow,
    LabelledRow,
    Opening,
    Progress,
    RefusedInput,
    Scanned,
    ScannedFiles,
    ScoreReason,
    Sealed,
    Table,
    TrainResult,
    Verdict,
    VerdictBounds,
    read_event,
    write_event,
)
from agent.protocol.pipe import Frame

ROW = (*range(28), 2**64 - 1)
REASON = ScoreReason(("CheckSum",), "has no checksum", 0.5)
EVENTS = [
    Opening("/a"),
    ExtractedRow("/a", "ab" * 32, ROW),
    RefusedInput("/a", "NOT_PE", "Not one."),
    Table((LabelledRow(ROW, 1), LabelledRow(ROW[::-1], 0))),
    Table(()),
    ScannedFiles(
        (
            Scanned("/a", Verdict.MALICIOUS, 0.97, reasons=(REASON,), provenance="from a package"),
            Scanned("/\udcff", Verdict.ERROR, None, "UNREADABLE", "This file cannot be read."),
        )
    ),
    ScannedFiles(()),
    VerdictBounds(0.5, 0.8, None),
    VerdictBounds(0.5, 0.8, 0.01),
    TrainResult(40, 1.5),
    Sealed(b"\0\1"),
    Progress(1, 20),
    Checkpointed(7),
    Confined(("no network", "no children")),
    Attempted("network", ""),
    Attempted("person's files", "reading"),
    Done(),
]


def through_the_pipe(event):
    (frame,) = pipe.FrameDecoder().feed(pipe.encode(write_event(event)))
    return read_event(frame)


def refused(frame):
    with pytest.raises(AegisError) as raised:
        read_event(frame)
    return raised.value.code


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_survives_the_pipe(event):
    assert through_the_pipe(event) == event


@pytest.mark.parametrize("family", AegisError.__subclasses__(), ids=lambda family: family.__name__)
def test_an_error_keeps_its_family_and_its_words(family):
    error = through_the_pipe(family("CODE", "What happened.", "What to do.", "for the log"))
    assert type(error) is family
    assert (error.code, error.message, error.remedy, error.detail) == (
        "CODE",
        "What happened.",
        "What to do.",
        "for the log",
    )


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"event": "unknown"},
        {"event": ["opening"]},
        {"event": "opening"},
        {"event": "opening", "path": 5},
        {"event": "opening", "path": "/a", "more": 1},
        {"event": "done", "more": 1},
        {"event": "progress", "done": 1.0, "total": 2},
        {"event": "progress", "done": True, "total": 2},
        {"event": "trained", "rows_used": 1, "seconds": 1},
        {
            "event": "failed",
            "family": "SystemExit",
            "code": "",
            "message": "",
            "remedy": "",
            "detail": "",
        },
        {
            "event": "failed",
            "family": "InternalError",
            "code": 1,
            "message": "",
            "remedy": "",
            "detail": "",
        },
        {"event": "scanned"},
        {"event": "bounds", "benign_below": 0.5, "malicious_from": 1.5, "false_positive_rate": 0.0},
        {"event": "bounds", "benign_below": 0.5, "malicious_from": 1, "false_positive_rate": None},
        {"event": "bounds", "benign_below": 0.5, "malicious_from": 0.8},
        {"event": "row", "path": "/a", "sha256": "ab" * 32},
        {"event": "table"},
        {"event": "sealed"},
    ],
    ids=str,
)
def test_p11_another_form_is_refused(header):
    assert refused(Frame(header)) == "BAD_FRAME"


SCANNED = Scanned("/a", Verdict.BENIGN, 0.5, reasons=(REASON,)).to_json()


@pytest.mark.parametrize(
    "change",
    [
        {"path": 5},
        {"verdict": "clean"},
        {"probability": 1.5},
        {"probability": 1},
        {"probability": math.nan},
        {"code": None},
        {"reasons": None},
        {"reasons": [5]},
        {"reasons": [{"fields": [], "text": "", "weight": 1}]},
        {"reasons": [{"fields": [], "text": "", "weight": math.inf}]},
        {"reasons": [{"fields": [5], "text": "", "weight": 1.0}]},
        {"reasons": [{"fields": [], "text": 5, "weight": 1.0}]},
        {"provenance": 5},
    ],
    ids=str,
)
def test_p11_a_scanned_file_of_another_form_is_refused(change):
    for part in (json.dumps([{**SCANNED, **change}]), "[[]]", "5", "[" * 100_000, "x"):
        assert refused(Frame({"event": "scanned"}, (part.encode(),))) == "BAD_FRAME"


@pytest.mark.parametrize("sha256", ["", "AB" * 32, "ab" * 33, "zz" * 32, None])
def test_p11_a_digest_is_32_bytes_in_small_hex(sha256):
    assert (
        refused(Frame({"event": "row", "path": "/a", "sha256": sha256}, (jobs.ROW.pack(*ROW),)))
        == "BAD_FRAME"
    )


@pytest.mark.parametrize(
    "parts",
    [
        (b"", b"\1"),
        (jobs.ROW.pack(*ROW), b""),
        (jobs.ROW.pack(*ROW), b"\2"),
        (b"x", b""),
        (b"", b"", b""),
    ],
)
def test_p11_rows_and_labels_have_to_fit(parts):
    assert refused(Frame({"event": "table"}, parts)) == "BAD_FRAME"


def test_p11_a_table_has_a_largest_size(monkeypatch):
    monkeypatch.setattr(jobs, "MAX_TABLE_ROWS", 2)
    rows = jobs.pack_rows([ROW] * 3)
    with pytest.raises(ValueError, match="do not fit"):
        jobs.unpack_table(rows, bytes(3))
    assert len(jobs.unpack_table(rows[: 2 * jobs.ROW.size], bytes(2))) == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3),
)
NAMES = [
    "opening",
    "row",
    "refused",
    "table",
    "scanned",
    "trained",
    "sealed",
    "progress",
    "checkpointed",
    "done",
    "failed",
]
FIELDS = [
    "path",
    "sha256",
    "code",
    "message",
    "verdict",
    "probability",
    "rows_used",
    "seconds",
    "done",
    "total",
    "step",
    "family",
]


@given(
    st.sampled_from(NAMES),
    st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6),
    st.lists(st.binary(max_size=240), max_size=3),
)
def test_p11_whatever_comes_is_an_event_or_one_clear_refusal(name, values, parts):
    frame = Frame({"event": name, **values}, tuple(parts))
    try:
        outcome = write_event(read_event(frame)).header["event"]
    except AegisError as error:
        outcome = error.code
    assert outcome in (name, "BAD_FRAME")
