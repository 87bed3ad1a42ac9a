"""The jobs of a worker and the events that it reports: frozen values, and their frames on the pipe.

The worker reads hostile files, so its parent does not trust it: `read_event` checks the form of
everything it receives.
"""

import json
import math
import struct
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from agent.errors import AegisError, InternalError, OperatorActionError, PeerError, UserActionError
from agent.protocol.pipe import Frame
from agent.protocol.sources import SWITCHED, Source

ROW = struct.Struct("<29Q")
"""A feature row on the pipe: 29 little-endian unsigned 64-bit integers."""
MAX_TABLE_ROWS = 200_000
"""In the largest table that `samples import` accepts."""
MAX_FILES = 20_000
"""In one extraction or scan."""


class Job(StrEnum):
    EXTRACT = "extract"
    COLLECT = "collect"
    """Looking for programs that a switched source knows, in folders that a person chose."""
    IMPORT = "import"
    SCAN = "scan"
    TRAIN = "train"
    EXAMPLE = "example"
    """Training on the bundled example, while a person waits."""
    SEAL = "seal"
    ESCAPE = "escape"
    """An attempt to break out of the worker's own sandbox, for `aegis doctor`."""


class Verdict(StrEnum):
    """A scan's verdict about one file. There is no "clean": a model only gives likelihoods."""

    BENIGN = "benign"
    MALICIOUS = "malicious"
    UNSURE = "unsure"
    NOT_PE = "not_pe"
    ERROR = "error"


@dataclass(frozen=True)
class ModelFiles:
    """The files that make a model."""

    head: bytes = field(repr=False)
    """A safetensors file: the trained weights."""
    base: bytes = field(default=b"", repr=False)
    """A safetensors file: what the operator trained; empty for a family without a base."""
    family: str = "logistic/1"
    """The model family, as in a task."""
    base_weight_milli: int = 0
    """Weight of the base's logit, in thousandths."""


@dataclass(frozen=True)
class ExtractedRow:
    path: str
    sha256: str
    """Of the whole file, hex."""
    features: tuple[int, ...]


@dataclass(frozen=True)
class RefusedInput:
    """A file or row that was left out, and why."""

    path: str
    code: str
    message: str


@dataclass(frozen=True)
class ExtractResult:
    rows: tuple[ExtractedRow, ...]
    refused: tuple[RefusedInput, ...]


@dataclass(frozen=True)
class Collected:
    """A program that a switched source knows; what it says follows from the source."""

    source: Source
    digest: str
    """Keyed, of the whole file, hex."""
    features: tuple[int, ...]


@dataclass(frozen=True)
class Contradicted:
    """One source calls this program benign and another malicious."""

    digest: str
    """Keyed, of the whole file, hex."""


@dataclass(frozen=True)
class Searched:
    """The job has looked at everything; a worker that was asked to stop does not say so."""

    files: int
    """Of all kinds."""
    programs: int


@dataclass(frozen=True)
class Unread:
    """A source could not read what it knows."""

    source: Source
    code: str


@dataclass(frozen=True)
class CollectResult:
    rows: tuple[Collected, ...]
    contradicted: tuple[str, ...]
    searched: Searched | None
    unread: tuple[Unread, ...]


@dataclass(frozen=True)
class LabelledRow:
    features: tuple[int, ...]
    label: int
    """0 benign, 1 malicious."""


@dataclass(frozen=True)
class ImportResult:
    rows: tuple[LabelledRow, ...]
    refused: tuple[RefusedInput, ...]


@dataclass(frozen=True)
class VerdictBounds:
    """The probabilities between which a verdict is "unsure"."""

    benign_below: float
    malicious_from: float
    false_positive_rate: float | None
    """The share of benign files that the operator's calibration found malicious; None: unknown."""


@dataclass(frozen=True)
class ScoreReason:
    """What moved a score, compared with a typical program."""

    fields: tuple[str, ...]
    text: str
    weight: float
    """Change of the logit: above 0 it raises the probability of being malicious."""


@dataclass(frozen=True)
class Scanned:
    path: str
    verdict: Verdict
    probability: float | None
    """Of being malicious, where the file could be scored."""
    code: str = ""
    message: str = ""
    reasons: tuple[ScoreReason, ...] = ()
    """The strongest first."""
    provenance: str = ""
    """Where the file comes from, in words; empty: unknown."""

    def to_json(self) -> dict[str, object]:
        """Return the JSON form, as docs/CONTRACT.md has it."""
        return {
            "path": self.path,
            "verdict": self.verdict.value,
            "probability": self.probability,
            "code": self.code,
            "message": self.message,
            "reasons": [
                {"fields": list(one.fields), "text": one.text, "weight": one.weight}
                for one in self.reasons
            ],
            "provenance": self.provenance,
        }


@dataclass(frozen=True)
class ScannedFiles:
    """Some files of a scan, in their order."""

    files: tuple[Scanned, ...]


@dataclass(frozen=True)
class ScanResult:
    results: tuple[Scanned, ...]
    bounds: VerdictBounds


@dataclass(frozen=True)
class TrainResult:
    rows_used: int
    seconds: float
    """CPU time of the training itself."""


@dataclass(frozen=True)
class Opening:
    """The worker is about to open this file. If it dies now, this file is the cause."""

    path: str
    """In `collect` a keyed digest of the path."""


@dataclass(frozen=True)
class Table:
    """Labelled rows in one piece."""

    rows: tuple[LabelledRow, ...]


@dataclass(frozen=True)
class Sealed:
    body: bytes


@dataclass(frozen=True)
class Progress:
    done: int
    total: int


@dataclass(frozen=True)
class Checkpointed:
    """Training stopped on request. It continues from here when it starts again with the same
    scratch file and key.
    """

    step: int


@dataclass(frozen=True)
class Confined:
    """The worker has entered its sandbox; it reads nothing of its job before."""

    rules: tuple[str, ...]
    """The rules in force."""


@dataclass(frozen=True)
class Attempted:
    """The worker tried to break out."""

    name: str
    """What it tried to reach."""
    possible: str
    """What it could do; empty where all was refused."""


@dataclass(frozen=True)
class EscapeResult:
    """How far a worker got that tried to break out."""

    rules: tuple[str, ...]
    """The rules in force."""
    attempts: tuple[Attempted, ...]


@dataclass(frozen=True)
class Done:
    pass


Event = (
    Opening
    | ExtractedRow
    | Collected
    | Contradicted
    | Searched
    | Unread
    | RefusedInput
    | Table
    | ScannedFiles
    | VerdictBounds
    | TrainResult
    | Sealed
    | Progress
    | Checkpointed
    | Confined
    | Attempted
    | Done
    | AegisError
)
_Plain = (
    Opening | RefusedInput | Searched | TrainResult | Progress | Checkpointed | Attempted | Done
)
_PLAIN: dict[str, type[_Plain]] = {
    "opening": Opening,
    "refused": RefusedInput,
    "searched": Searched,
    "trained": TrainResult,
    "progress": Progress,
    "checkpointed": Checkpointed,
    "attempted": Attempted,
    "done": Done,
}
_NAMES = {kind: name for name, kind in _PLAIN.items()}
_FAMILIES = {
    family.__name__: family
    for family in (UserActionError, OperatorActionError, PeerError, InternalError)
}


def write_event(event: Event) -> Frame:
    """Return the frame that carries an event."""
    if isinstance(event, AegisError):
        return Frame(
            {
                "event": "failed",
                "family": type(event).__name__,
                "detail": event.detail,
                **event.to_json(),
            }
        )
    if isinstance(event, ExtractedRow):
        return Frame(
            {"event": "row", "path": event.path, "sha256": event.sha256},
            (ROW.pack(*event.features),),
        )
    if isinstance(event, ScannedFiles):
        # As a part: many files in one frame cost far less than a frame for each.
        rows = json.dumps([file.to_json() for file in event.files], separators=(",", ":"))
        return Frame({"event": "scanned"}, (rows.encode("ascii"),))
    if isinstance(event, VerdictBounds):
        return Frame({"event": "bounds", **asdict(event)})
    if isinstance(event, Collected):
        return Frame(
            {"event": "collected", "source": event.source, "digest": event.digest},
            (ROW.pack(*event.features),),
        )
    if isinstance(event, Contradicted):
        return Frame({"event": "contradicted", "digest": event.digest})
    if isinstance(event, Unread):
        return Frame({"event": "unread", **asdict(event)})
    if isinstance(event, Table):
        return Frame(
            {"event": "table"},
            (pack_rows(row.features for row in event.rows), bytes(row.label for row in event.rows)),
        )
    if isinstance(event, Sealed):
        return Frame({"event": "sealed"}, (event.body,))
    if isinstance(event, Confined):
        return Frame({"event": "confined", "rules": list(event.rules)})
    return Frame({"event": _NAMES[type(event)], **asdict(event)})


def read_event(frame: Frame) -> Event:
    """Read a worker's event. Raises PeerError BAD_FRAME unless it has the agreed form."""
    fields = dict(frame.header)
    kind = fields.pop("event", None)
    try:
        if kind == "failed":
            return _failure(fields)
        if kind == "row":
            return ExtractedRow(
                _text(fields["path"]), _digest(fields["sha256"]), ROW.unpack(frame.parts[0])
            )
        if kind == "collected":
            digest = _digest(fields["digest"])
            return Collected(_source(fields["source"]), digest, ROW.unpack(frame.parts[0]))
        if kind == "contradicted":
            return Contradicted(_digest(fields["digest"]))
        if kind == "unread":
            return Unread(_source(fields["source"]), _text(fields["code"]))
        if kind == "scanned":
            return ScannedFiles(tuple(_scanned(item) for item in json.loads(frame.parts[0])))
        if kind == "bounds":
            return _bounds(fields)
        if kind == "table":
            return Table(unpack_table(*frame.parts))
        if kind == "sealed":
            return Sealed(frame.parts[0])
        if kind == "confined":
            return Confined(tuple(_text(rule) for rule in fields["rules"]))
        event = _PLAIN[str(kind)](**fields)
    except (KeyError, TypeError, ValueError, IndexError, RecursionError, struct.error) as error:
        raise _bad(f"{kind!s:.40}: {type(error).__name__}") from error
    _check_types(event)
    return event


def pack_rows(rows: Iterable[tuple[int, ...]]) -> bytes:
    """Concatenate rows, 232 bytes each."""
    return b"".join(ROW.pack(*row) for row in rows)


def unpack_table(rows: bytes, labels: bytes) -> tuple[LabelledRow, ...]:
    """Split rows and their labels, one byte each. Raises ValueError when the two do not fit."""
    if len(rows) != ROW.size * len(labels) or len(labels) > MAX_TABLE_ROWS or set(labels) - {0, 1}:
        raise ValueError("rows and labels do not fit")
    return tuple(
        LabelledRow(features, label)
        for features, label in zip(ROW.iter_unpack(rows), labels, strict=True)
    )


def _failure(fields: dict[str, object]) -> AegisError:
    family = _FAMILIES[_text(fields["family"])]
    return family(*(_text(fields[name]) for name in ("code", "message", "remedy", "detail")))


def _scanned(fields: dict[str, object]) -> Scanned:
    chance = fields["probability"]
    if chance is not None:
        chance = _share(chance)
    reasons = fields["reasons"]
    if not isinstance(reasons, list):
        raise TypeError("expected a list")
    return Scanned(
        _text(fields["path"]),
        Verdict(_text(fields["verdict"])),
        chance,
        _text(fields["code"]),
        _text(fields["message"]),
        tuple(map(_reason, reasons)),
        _text(fields["provenance"]),
    )


def _reason(fields: dict[str, object]) -> ScoreReason:
    weight, names = fields["weight"], fields["fields"]
    if not isinstance(weight, float) or not math.isfinite(weight) or not isinstance(names, list):
        raise TypeError("expected the names of fields and a finite weight")
    return ScoreReason(tuple(map(_text, names)), _text(fields["text"]), weight)


def _bounds(fields: dict[str, object]) -> VerdictBounds:
    rate = fields["false_positive_rate"]
    return VerdictBounds(
        _share(fields["benign_below"]),
        _share(fields["malicious_from"]),
        None if rate is None else _share(rate),
    )


def _share(value: object) -> float:
    if not isinstance(value, float) or not 0 <= value <= 1:
        raise ValueError("expected a number from 0 to 1")
    return value


def _check_types(event: object) -> None:
    whole = ("rows_used", "done", "total", "step", "files", "programs")
    kinds: dict[str, type] = {**dict.fromkeys(whole, int), "seconds": float}
    for name, value in vars(event).items():
        if type(value) is not kinds.get(name, str):
            raise _bad(f"{type(event).__name__}.{name}")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("expected text")
    return value


def _source(value: object) -> Source:
    source = Source(_text(value))
    if source not in SWITCHED:
        raise ValueError("expected a source that has a switch")
    return source


def _digest(value: object) -> str:
    text = _text(value)
    if len(text) != 64 or set(text) - set("0123456789abcdef"):
        raise ValueError("expected 32 bytes in hex")
    return text


def _bad(detail: str) -> PeerError:
    return PeerError(
        "BAD_FRAME",
        "The worker's answer could not be read.",
        "Nothing was changed. Try again.",
        detail,
    )
