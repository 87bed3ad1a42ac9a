"""Whether a model may be used: signed, for this task, not older than the last one seen, of the agreed shape, and made of plain numbers.

A model file is data (safetensors): an 8-byte little-endian header length, a JSON header, and the numbers. Exactly one tensor is
allowed, "weights" with `d` float32 or float64 values, and not one byte beside it.
"""

import array
import hashlib
import json
import math
import sys
from dataclasses import dataclass
from typing import Any

from agent.errors import PeerFault
from agent.protocol.canonical import canonical
from agent.protocol.limits import MAX_DIMENSION, MAX_HEADER_BYTES, MAX_MODEL_BYTES
from agent.protocol.messages import Task
from agent.protocol.signing import Context, verify

MAX_ABS_WEIGHT = 1e6
"""No trained weight over standardised features comes near it; above it a probability is 0 or 1 and nothing can be learned."""
_FIELDS = {"task_id": str, "version": int, "sha256": str, "length": int, "published_at": int, "demonstration": int, "schema": str, "d": int}
_TENSOR_FIELDS = {"dtype", "shape", "data_offsets"}
_TYPES = {"F32": ("f", 4), "F64": ("d", 8)}


@dataclass(frozen=True)
class Floor:
    """The newest model that this device has ever accepted."""

    version: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class VerifiedModel:
    """A model that passed. Only `verify_model` makes one."""

    task_id: str
    version: int
    sha256: str
    published_at: int
    """Seconds since the epoch."""
    demonstration: bool
    content: bytes
    metadata: bytes
    signature: str


def verify_model(metadata: bytes, signature: str, content: bytes, *, signing_key: str, task: Task, floor: Floor) -> VerifiedModel:
    """Check a model as it came.

    Raises PeerFault MODEL_TOO_LARGE, MODEL_UNSIGNED, MODEL_WRONG_TASK, MODEL_OLDER, MODEL_CHANGED, MODEL_ALTERED, MODEL_WRONG_SHAPE,
    MODEL_NOT_FINITE or MODEL_OUT_OF_RANGE. Costs one SHA-256 and one pass over the numbers.
    """
    if len(content) > MAX_MODEL_BYTES or len(metadata) > MAX_HEADER_BYTES:
        raise refused("MODEL_TOO_LARGE", "is larger than agreed", f"{len(content)} bytes")
    said = _signed_metadata(metadata, signature, signing_key)
    if (said["task_id"], said["schema"], said["d"]) != (task.task_id, task.schema, task.d):
        raise refused("MODEL_WRONG_TASK", "belongs to another task", f"{said['task_id'][:64]!r} {said['schema'][:64]!r} d={said['d']}")
    if said["version"] < floor.version:
        raise refused("MODEL_OLDER", f"is older (version {said['version']}) than the newest one seen ({floor.version})")
    if said["version"] == floor.version and floor.sha256 and said["sha256"] != floor.sha256:
        raise refused("MODEL_CHANGED", f"differs from what this device got as version {floor.version} before")
    if said["length"] != len(content) or said["sha256"] != hashlib.sha256(content).hexdigest():
        raise refused("MODEL_ALTERED", "was altered on its way")
    check_content(content, task.d)
    return VerifiedModel(
        said["task_id"], said["version"], said["sha256"], said["published_at"], bool(said["demonstration"]), content, metadata, signature
    )


def check_content(content: bytes, d: int) -> None:
    """Check the file's form and numbers. Raises PeerFault MODEL_WRONG_SHAPE, MODEL_NOT_FINITE, MODEL_OUT_OF_RANGE."""
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > min(MAX_HEADER_BYTES, len(content) - 8):
        raise refused("MODEL_WRONG_SHAPE", "cannot be read", "header length")
    try:
        header = json.loads(content[8 : 8 + length])
        tensors = {name: value for name, value in header.items() if name != "__metadata__"}
        tensor = tensors.pop("weights")
        code, width = _TYPES[tensor["dtype"]]
        fits = not tensors and tensor["shape"] == [d] and tensor["data_offsets"] == [0, d * width] and set(tensor) == _TENSOR_FIELDS
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise refused("MODEL_WRONG_SHAPE", "cannot be read", type(error).__name__) from error
    body = content[8 + length :]
    if not fits or not 0 < d <= MAX_DIMENSION or len(body) != d * width:
        raise refused("MODEL_WRONG_SHAPE", f"does not hold {d} weights and nothing else")
    _check_numbers(array.array(code, body))


def _check_numbers(weights: "array.array[float]") -> None:
    if sys.byteorder == "big":
        weights.byteswap()
    if not all(map(math.isfinite, weights)):
        raise refused("MODEL_NOT_FINITE", "holds values that are not numbers")
    if max(map(abs, weights)) > MAX_ABS_WEIGHT:
        raise refused("MODEL_OUT_OF_RANGE", "holds absurdly large weights")


def _signed_metadata(metadata: bytes, signature: str, signing_key: str) -> dict[str, Any]:
    try:
        said = json.loads(metadata)
        if not isinstance(said, dict) or canonical(said) != metadata:
            raise ValueError("not canonical")
        verify(signing_key, Context.MODEL, said, signature)
    except (ValueError, TypeError, RecursionError, PeerFault) as error:
        raise refused("MODEL_UNSIGNED", "does not carry the aggregator's signature") from error
    if set(said) != set(_FIELDS) or not all(isinstance(said[name], kind) for name, kind in _FIELDS.items()):
        raise refused("MODEL_WRONG_TASK", "is described in another form than agreed")
    return said


def refused(code: str, why: str, detail: str = "") -> PeerFault:
    """The error for a model that is not used."""
    return PeerFault(code, f"The model from the server {why}; it is not used.", "The model in use stays. Tell the operator.", detail)
