"""Decides whether a model may be used: signed, for this task, no older than the newest one seen, of
the agreed shape, and made of plain numbers.

A model file is data (safetensors): an 8-byte little-endian header length, a JSON header, and the
numbers. A task without a base allows exactly one tensor, "weights" with `d` float32 or float64
values. With a base it allows the tensors of a head (agent.detector.families): "trained" and
"scored" with `d` values each, and "base", the digest of the base, which is a file of its own.
"""

import array
import hashlib
import json
import math
import sys
from dataclasses import asdict, dataclass, field, fields
from typing import Self

from agent.errors import PeerError
from agent.protocol.canonical import canonical
from agent.protocol.jobs import ModelFiles
from agent.protocol.limits import (
    MAX_BASE_BYTES,
    MAX_DIMENSION,
    MAX_HEADER_BYTES,
    MAX_MODEL_BYTES,
)
from agent.protocol.messages import Task
from agent.protocol.signing import Context, verify

MAX_ABS_WEIGHT = 1e6
"""Far above any weight trained on standardised features. Beyond it, probabilities saturate and
nothing can be learned."""
HEAD_TENSORS = {"trained", "scored", "base"}
_TENSOR_FIELDS = {"dtype", "shape", "data_offsets"}
_TYPES = {"F32": ("f", 4), "F64": ("d", 8)}


@dataclass(frozen=True)
class MinModelVersion:
    """The newest model that this device has ever accepted: it takes none that is older."""

    version: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class ModelFacts:
    """The signed description of a model."""

    task_id: str
    version: int
    sha256: str
    length: int
    published_at: int
    """Seconds since the epoch."""
    demonstration: int
    schema: str
    d: int

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read exactly these fields. Raises PeerError MODEL_WRONG_TASK for anything else."""
        kinds = {field.name: field.type for field in fields(cls)}
        if (
            not isinstance(value, dict)
            or set(value) != set(kinds)
            or not all(type(value[name]) is kind for name, kind in kinds.items())
        ):
            raise _refused("MODEL_WRONG_TASK", "is not described in the agreed form")
        return cls(**value)


@dataclass(frozen=True)
class VerifiedModel:
    """A model that passed every check. Only `check_model` makes one; its base is added later."""

    facts: ModelFacts
    content: bytes
    signature: str = ""
    """Of a model that carries its own; "" for one from the repository."""
    base: bytes = field(default=b"", repr=False)
    """The file that the task names by its digest; empty for a family without a base."""

    def files_for(self, task: Task) -> ModelFiles:
        """Return what a worker needs to train this task on the model, or to scan with it."""
        return ModelFiles(self.content, self.base, task.model, task.base_weight_milli)

    @property
    def version(self) -> int:
        return self.facts.version

    @property
    def sha256(self) -> str:
        return self.facts.sha256

    @property
    def demonstration(self) -> bool:
        return bool(self.facts.demonstration)

    @property
    def metadata(self) -> bytes:
        """The facts in their signed form."""
        return canonical(asdict(self.facts))


def verify_model(
    metadata: bytes,
    signature: str,
    content: bytes,
    *,
    signing_key: str,
    task: Task,
    minimum: MinModelVersion,
) -> VerifiedModel:
    """Check a model that carries its own signature.

    Raises PeerError MODEL_UNSIGNED, and as `check_model` does.
    """
    if len(metadata) > MAX_HEADER_BYTES:
        raise _refused("MODEL_TOO_LARGE", "has a longer description than agreed")
    try:
        description = json.loads(metadata)
        if canonical(description) != metadata:
            raise ValueError("not canonical")
        verify(signing_key, Context.MODEL, description, signature)
    except (ValueError, TypeError, RecursionError, PeerError) as error:
        raise _refused("MODEL_UNSIGNED", "does not carry the aggregator's signature") from error
    return check_model(
        ModelFacts.from_json(description), content, task=task, minimum=minimum, signature=signature
    )


def check_facts(facts: ModelFacts, *, task: Task, minimum: MinModelVersion) -> None:
    """Check the description of a model before its content is fetched.

    Raises PeerError MODEL_WRONG_TASK, MODEL_OLDER, MODEL_CHANGED or MODEL_TOO_LARGE.
    """
    if (facts.task_id, facts.schema, facts.d) != (task.task_id, task.schema, task.d):
        raise _refused(
            "MODEL_WRONG_TASK",
            "belongs to another task",
            f"{facts.task_id[:64]!r} {facts.schema[:64]!r} d={facts.d}",
        )
    if facts.version < minimum.version:
        raise _refused(
            "MODEL_OLDER",
            f"is older (version {facts.version}) than the newest one seen ({minimum.version})",
        )
    if facts.version == minimum.version and minimum.sha256 and facts.sha256 != minimum.sha256:
        raise _refused(
            "MODEL_CHANGED",
            f"differs from the version {minimum.version} that this device received before",
        )
    if facts.length > MAX_MODEL_BYTES:
        raise _refused("MODEL_TOO_LARGE", "is larger than agreed", f"{facts.length} bytes")


def check_model(
    facts: ModelFacts, content: bytes, *, task: Task, minimum: MinModelVersion, signature: str = ""
) -> VerifiedModel:
    """Check a model whose facts are known to be signed. Costs a SHA-256 and one pass over the
    numbers.

    Raises PeerError as `check_facts` does, and MODEL_ALTERED, MODEL_WRONG_SHAPE, MODEL_NOT_FINITE
    or MODEL_OUT_OF_RANGE.
    """
    if len(content) > MAX_MODEL_BYTES:
        raise _refused("MODEL_TOO_LARGE", "is larger than agreed", f"{len(content)} bytes")
    check_facts(facts, task=task, minimum=minimum)
    if facts.length != len(content) or facts.sha256 != hashlib.sha256(content).hexdigest():
        raise _refused("MODEL_ALTERED", "was altered in transit")
    check_content(content, task.d, task.base_sha256)
    return VerifiedModel(facts, content, signature)


def check_base(content: bytes, task: Task) -> None:
    """Check that a base is the one that the task names. The worker reads it strictly; the agent
    does not read it at all.

    Raises PeerError MODEL_TOO_LARGE, MODEL_ALTERED.
    """
    if len(content) > MAX_BASE_BYTES:
        raise _refused("MODEL_TOO_LARGE", "has a base larger than agreed", f"{len(content)} bytes")
    if hashlib.sha256(content).hexdigest() != task.base_sha256:
        raise _refused("MODEL_ALTERED", "has a base other than the one its task names")


def check_content(content: bytes, d: int, base_sha256: str = "") -> None:
    """Check the file's form, the base that it belongs to, and its numbers.

    Raises PeerError MODEL_WRONG_SHAPE, MODEL_WRONG_TASK, MODEL_NOT_FINITE, MODEL_OUT_OF_RANGE.
    """
    tensors = _tensors(content)
    if not base_sha256:
        if not 0 < d <= MAX_DIMENSION or set(tensors) != {"weights"}:
            raise _wrong_shape(d)
        _check_numbers(tensors["weights"], d)
        return
    if set(tensors) != HEAD_TENSORS:
        raise _wrong_shape(d)
    base = tensors["base"]
    if (base.dtype, base.shape) != ("U8", [32]):
        raise _wrong_shape(d)
    if base.content.hex() != base_sha256:
        raise _refused("MODEL_WRONG_TASK", "belongs to another base")
    for name in ("trained", "scored"):
        _check_numbers(tensors[name], d)


@dataclass(frozen=True)
class _Tensor:
    dtype: str
    shape: list[int]
    content: bytes


def _tensors(content: bytes) -> dict[str, _Tensor]:
    """Split a file into its tensors, which lie in a row without gaps and fill it."""
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > min(MAX_HEADER_BYTES, len(content) - 8):
        raise _refused("MODEL_WRONG_SHAPE", "cannot be read", "header length")
    body = content[8 + length :]
    try:
        header = json.loads(content[8 : 8 + length])
        header.pop("__metadata__", None)
        if any(set(value) != _TENSOR_FIELDS for value in header.values()):
            raise ValueError("fields of a tensor")
        found, end = {}, 0
        for name, value in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            start, after = value["data_offsets"]
            if start != end or not start <= after <= len(body):
                raise ValueError("offsets of a tensor")
            found[name], end = _Tensor(value["dtype"], value["shape"], body[start:after]), after
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _refused("MODEL_WRONG_SHAPE", "cannot be read", type(error).__name__) from error
    if end != len(body):
        raise _refused("MODEL_WRONG_SHAPE", "holds bytes of no tensor")
    return found


def _check_numbers(tensor: _Tensor, d: int) -> None:
    code, width = _TYPES.get(tensor.dtype, ("", 0)) if type(tensor.dtype) is str else ("", 0)
    if not code or tensor.shape != [d] or len(tensor.content) != d * width:
        raise _wrong_shape(d)
    weights = array.array(code, tensor.content)
    if sys.byteorder == "big":
        weights.byteswap()
    if not all(map(math.isfinite, weights)):
        raise _refused("MODEL_NOT_FINITE", "holds values that are not numbers")
    if max(map(abs, weights)) > MAX_ABS_WEIGHT:
        raise _refused("MODEL_OUT_OF_RANGE", "holds absurdly large weights")


def _wrong_shape(d: int) -> PeerError:
    return _refused("MODEL_WRONG_SHAPE", f"does not hold {d} weights and nothing else")


def _refused(code: str, why: str, detail: str = "") -> PeerError:
    return PeerError(
        code,
        f"The model from the server {why}; it is not used.",
        "The model in use stays. Tell the operator.",
        detail,
    )
