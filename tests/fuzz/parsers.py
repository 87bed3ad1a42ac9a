"""The parsers that read strangers' bytes: what they are fed, and what they may answer.

A parser returns a valid value or raises its own error. Anything else is a finding: another
exception, a value out of range, too much time or too much memory.
"""

import contextlib
import hashlib
import io
import json
import resource
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pefile
from hypothesis import strategies as st

from agent.detector.schema import FEATURE_NAMES, validate_row
from agent.errors import PeerError
from agent.protocol import envelope, pipe
from agent.protocol.jobs import (
    ExtractedRow,
    Progress,
    RefusedInput,
    Scanned,
    ScannedFiles,
    ScoreReason,
    Table,
    Verdict,
    VerdictBounds,
    read_event,
    write_event,
)
from agent.worker.pe_headers import HeaderError, feature_row
from agent.worker.table import import_table
from tests.fakes.executables import executable, section
from tests.fuzz.mutations import choices, mutated

FOLDER = Path(__file__).parent
MAX_S = 1.0
"""Processor time for one input; the largest ones take milliseconds."""
MAX_MIB = 600
"""Memory for one input beyond what the process had. A table of 200,000 rows takes 250."""


@dataclass(frozen=True)
class Parser:
    name: str
    inputs: st.SearchStrategy[bytes]
    check: Callable[[bytes, Path], None]
    """Feeds the parser. Raises for a finding. It may use the folder."""


class FindingError(AssertionError):
    """What a parser must not do."""


def seeds(name: str) -> list[bytes]:
    """Inputs that are kept: valid ones, and those that found something."""
    return [path.read_bytes() for path in sorted((FOLDER / "seeds" / name).iterdir())]


def bounded(parser: Parser, content: bytes, folder: Path) -> None:
    """Run one input. Raises FindingError or what the parser raised."""
    before_kib, start_s = _memory_kib(), time.process_time()
    parser.check(content, folder)
    used_s, used_mib = time.process_time() - start_s, (_memory_kib() - before_kib) / 1024
    if used_s > MAX_S or used_mib > MAX_MIB:
        forget_peak()
        raise FindingError(f"{used_s:.2f} s and {used_mib:.0f} MiB for {len(content)} bytes")


def _memory_kib() -> int:
    """The most that this process has had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def forget_peak() -> None:
    """Let the peak begin again: before it, `bounded` sees nothing that stays below."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_bytes(b"5")


def check_envelope(body: bytes, _: Path) -> None:
    try:
        read = envelope.decode(body)
    except PeerError as error:
        require(error.code == "BAD_ENVELOPE", error.code)
        return
    require(envelope.encode(read.header, read.payload) == body, "two bodies mean the same")


def check_frame(content: bytes, _: Path) -> None:
    decoder = pipe.FrameDecoder()
    half = len(content) // 2
    try:
        for piece in (content[:half], content[half:]):
            for frame in decoder.feed(piece):
                event = read_event(frame)
                require(read_event(write_event(event)) == event or is_error(event), repr(event))
    except PeerError as error:
        require(error.code == "BAD_FRAME", error.code)


def is_error(event: object) -> bool:
    return isinstance(event, Exception)


def check_headers(content: bytes, _: Path) -> None:
    try:
        row = feature_row(lambda start, count: content[start : start + count], len(content))
    except HeaderError as error:
        require(error.code in ("NOT_PE", "TRUNCATED_PE", "BROKEN_PE"), error.code)
        return
    validate_row(row)
    try:
        parsed = pefile.PE(data=content, fast_load=True)
    except pefile.PEFormatError:
        return  # It is stricter about what no feature needs.
    numbers = {**vars(parsed.FILE_HEADER), **vars(parsed.OPTIONAL_HEADER)}
    require(row == tuple(numbers[name] for name in FEATURE_NAMES), "not what pefile reads")


def check_table(content: bytes, folder: Path) -> None:
    path = folder / "table.npz"
    path.write_bytes(content)
    try:
        for event in import_table(str(path)):
            if isinstance(event, Table):
                for row in event.rows:
                    validate_row(row.features)
                    require(row.label in (0, 1), "label")
            else:
                require(isinstance(event, RefusedInput) and event.code == "BAD_ROW", repr(event))
    except PeerError as error:
        require(error.code == "BAD_TABLE", error.code)


def require(is_true: bool, what: str) -> None:
    if not is_true:
        raise FindingError(what)


SCRIPTS = st.binary(min_size=64, max_size=64)
TEXTS = ("", "a", "path", "event", "parts", "payload_sha256", "ε", "\ud800", "\x00", "1", "ab" * 32)
REASON = ScoreReason(("CheckSum",), "has no checksum", 0.5)
EVENTS = (
    "opening",
    "row",
    "scanned",
    "bounds",
    "table",
    "failed",
    "done",
    "trained",
    "progress",
    "sealed",
)
FIELDS = ("path", "sha256", "verdict", "probability", "code", "message", "family", "done", "total")


def _value(number: Callable[[], int], depth: int = 3) -> Any:
    """A JSON value of numbers that a script gives."""
    kind = number() % (9 if depth else 7)
    if kind < 7:
        numbers = (number(), -number(), number() << 40, number() / 7, number() % 2 == 0, None)
        return (*numbers, TEXTS[number() % len(TEXTS)])[kind]
    if kind == 7:
        return [_value(number, depth - 1) for _ in range(number() % 3)]
    return {TEXTS[number() % len(TEXTS)]: _value(number, depth - 1) for _ in range(number() % 3)}


def _envelope(script: bytes) -> bytes:
    """An envelope with the right digest and length, whose header is canonical or nearly so."""
    number = choices(script).__next__
    payload = script[: number() % 40]
    fields = {TEXTS[number() % len(TEXTS)]: _value(number) for _ in range(number() % 4)}
    fields["payload_sha256"] = hashlib.sha256(payload).hexdigest()
    text = json.dumps(
        fields,
        sort_keys=number() % 4 != 0,
        ensure_ascii=number() % 4 == 0,
        separators=(",", ":" if number() % 8 else ": "),
    )
    head = text.encode("utf-8", "surrogatepass")
    return envelope.MAGIC + len(head).to_bytes(4, "big") + head + payload


def _frame(script: bytes) -> bytes:
    """A frame with the fields of an event, whose parts may be said to have other sizes."""
    number = choices(script).__next__
    fields: dict[str, Any] = {"event": EVENTS[number() % len(EVENTS)]}
    for _ in range(number() % 6):
        name = FIELDS[number() % len(FIELDS)]
        fields[name] = _value(number) if number() % 2 else TEXTS[number() % len(TEXTS)]
    parts = [script[: number() % 64] * (number() % 5) for _ in range(number() % 3)]
    sizes = [len(part) for part in parts] if number() % 4 else [_value(number)]
    head = json.dumps({**fields, "parts": sizes}).encode()
    blob = b"".join(parts)
    return len(head).to_bytes(4, "big") + head + len(blob).to_bytes(8, "big") + blob


def _image(script: bytes) -> bytes:
    """An executable made of numbers that a script gives."""
    number = choices(script).__next__
    return executable(
        magic=(0x10B, 0x20B, 0x10B, 0x20B, 0x107, number() % 2**16)[number() % 6],
        start=(0, 4, 12, 64, 128, 500, 0x3000)[number() % 7],
        sections=[section(number(), number(), number()) for _ in range(number() % 4)],
        number_of_sections=(None, None, number() % 2**16)[number() % 3],
        optional_bytes=(None, None, number() % 2**16)[number() % 3],
        directories=number(),
        section_alignment=number(),
        file_alignment=number(),
        size=number() % 2048,
    )


def _zipped(members: dict[str, bytes], method: int) -> bytes:
    """An archive whose checksums are right, so that what is in it is read."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def _array(form: str, content: bytes) -> bytes:
    """A .npy file with any text as its header."""
    text = form.encode("latin-1", "replace").ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


TYPES = ("<u8", "<i4", "<f8", ">u8", "|b1", "|O", "<U4", "|S3", "<c16", "<M8[s]", "|V8", "<f1")
SHAPES = ("(2, 29)", "(2,)", "(0, 29)", "()", "(200001, 29)", "(4294967296, 29)", "(-1, 29)", ")")
CONTENTS = (464, 16, 232, 0, 2, 480, 8, 1)
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)


def _table(script: bytes) -> bytes:
    """An archive of two arrays with right checksums, so that their headers are read."""
    number = choices(script).__next__
    members = {}
    for name in ("X.npy", "y.npy"):
        form = (
            f"{{'descr': '{TYPES[number() % len(TYPES)]}',"
            f" 'fortran_order': {('False', 'True', 'None')[number() % 3]},"
            f" 'shape': {SHAPES[number() % len(SHAPES)]}, }}"
        )
        if not number() % 8:
            form = script.decode("latin-1")
        content = bytes([number() % 256]) * CONTENTS[number() % len(CONTENTS)]
        members[name] = _array(form, content)
    return _zipped(members, METHODS[number() % len(METHODS)])


def drawn(name: str, make: Callable[[bytes], bytes]) -> st.SearchStrategy[bytes]:
    """Kept inputs with a few changes, and inputs made from scratch."""
    return mutated(seeds(name)) | st.builds(make, SCRIPTS)


PARSERS = (
    Parser("envelope", drawn("envelope", _envelope), check_envelope),
    Parser("headers", drawn("headers", _image), check_headers),
    Parser("table", drawn("table", _table), check_table),
    Parser("frame", drawn("frame", _frame), check_frame),
)


def valid_inputs() -> dict[str, dict[str, bytes]]:
    """The valid inputs that `python -m tests.fuzz --write-seeds` keeps."""
    rows = np.arange(58, dtype="<u8").reshape(2, 29) % 256
    labels = np.array([0, 1], "u1")
    events = (
        ExtractedRow("a.exe", "ab" * 32, tuple(range(29))),
        ScannedFiles((Scanned("a.exe", Verdict.MALICIOUS, 0.75, reasons=(REASON,)),)),
        VerdictBounds(0.5, 0.8, 0.01),
        RefusedInput("a.exe", "NOT_PE", "Not a Windows executable (PE)."),
        Progress(1, 20),
        PeerError("BAD_TABLE", "The table cannot be imported.", "Check the file.", "detail"),
    )
    images = {
        "pe32": executable(magic=0x10B),
        "pe64": executable(sections=[section(), section(0x123, 0x200, 0x400)], size=1536),
        "overlapping": executable(start=4, size=768),
        "far": executable(start=0x2400, size=0x2400 + 1024),
    }
    return {
        "envelope": {
            "message": envelope.encode(
                {"kind": "update", "round": 7, "sender": "ab" * 16}, bytes(64)
            ),
            "nested": envelope.encode({"list": [1, [2, {"a": None}]], "text": "ε"}, b""),
        },
        "headers": images,
        "table": {
            "plain": _saved(np.savez, rows, labels),
            "compressed": _saved(np.savez_compressed, rows.astype("<f8"), labels.astype("<i8")),
        },
        "frame": {
            type(event).__name__.lower(): pipe.encode(write_event(event)) for event in events
        },
    }


def _saved(save: Callable[..., None], rows: Any, labels: Any) -> bytes:
    file = io.BytesIO()
    save(file, X=rows, y=labels)
    return file.getvalue()
