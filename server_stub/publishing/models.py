"""Prepares models for devices: checks, signs and publishes them.

A published model is in the database first and in the model repository second: `sync_repository`
repairs what a crash in between leaves behind.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray
from safetensors.numpy import load, save

from agent.detector.families.table import family
from agent.detector.model import to_safetensors, zeros
from agent.errors import AegisError, OperatorActionError
from agent.protocol.canonical import canonical
from agent.protocol.messages import Task
from agent.protocol.signing import Context, sign
from server_stub.config.home import ServerHome
from server_stub.publishing import tuf_repository
from server_stub.storage.records import Model
from server_stub.storage.store import Store

START_MODEL = "start_model.safetensors"
MAX_WEIGHT = 1e6
"""Devices refuse a model with a larger weight."""


@dataclass(frozen=True)
class PublishedModel:
    """The current model as `GET /api/v1/model` returns it."""

    version: int
    sha256: str
    content: bytes
    metadata: bytes
    signature: str


def start_model() -> bytes:
    """The bundled demonstration model, or one with zero weights if none is bundled."""
    bundled = resources.files("agent.detector") / START_MODEL
    return (
        bundled.read_bytes() if bundled.is_file() else to_safetensors(zeros(), demonstration=True)
    )


def make_model(
    version: int, content: bytes, *, origin: str, demonstration: bool, now: int
) -> Model:
    return Model(
        version, hashlib.sha256(content).hexdigest(), now, int(demonstration), origin, content
    )


def check_file(content: bytes, task: Task) -> None:
    """Raise OperatorActionError BAD_MODEL for a file that devices would refuse."""
    known = family(task.model)
    try:
        head = known.read_head(content, task.d)
    except AegisError as error:
        kind = "the head of a base" if known.has_base else "one tensor `weights`"
        raise OperatorActionError(
            "BAD_MODEL", error.message, f"Expected a safetensors file with {kind} of {task.d}."
        ) from error
    if head.base_digest != task.base_sha256:
        raise OperatorActionError(
            "BAD_MODEL",
            "The model belongs to another base.",
            "A new base needs a new task: run `aegis-server init` in another folder.",
        )
    if max(float(np.max(np.abs(one))) for one in (head.trained, head.scored)) > MAX_WEIGHT:
        raise OperatorActionError(
            "BAD_MODEL",
            "The model does not have the task's shape or range.",
            f"Expected {task.d} finite weights of at most a million.",
        )


def apply_step(content: bytes, step: NDArray[np.float64]) -> bytes:
    """Return the model file whose weights are those of `content` plus `step`."""
    weights: NDArray[np.float64] = load(content)["weights"].astype(np.float64) + step
    return save({"weights": weights}, None)


def trained_head(content: bytes, task: Task) -> NDArray[np.float64]:
    """The weights (d,) that the next round starts from.

    Raises PeerError MODEL_WRONG_SHAPE, MODEL_NOT_FINITE.
    """
    return family(task.model).read_head(content, task.d).trained


def scoring_head(content: bytes, task: Task) -> tuple[NDArray[np.float64], float]:
    """The weights (d,) that files are scored with, and the probability from which on a file is
    called malicious.

    Raises PeerError MODEL_WRONG_SHAPE, MODEL_NOT_FINITE.
    """
    head = family(task.model).read_head(content, task.d)
    return head.scored, head.bounds.malicious_from


def metadata_of(model: Model, task: Task) -> dict[str, int | str]:
    """The metadata that the repository publishes with a model."""
    return {
        "task_id": task.task_id,
        "version": model.version,
        "published_at": model.published_at,
        "demonstration": model.demonstration,
        "schema": task.schema,
        "d": task.d,
    }


def sign_model(model: Model, task: Task, key: Ed25519PrivateKey) -> PublishedModel:
    """Sign a model for `GET /api/v1/model`."""
    metadata: dict[str, Any] = {
        **metadata_of(model, task),
        "sha256": model.sha256,
        "length": len(model.content),
    }
    return PublishedModel(
        model.version,
        model.sha256,
        model.content,
        canonical(metadata),
        sign(key, Context.MODEL, metadata),
    )


def publish(
    home: ServerHome,
    store: Store,
    task: Task,
    content: bytes,
    *,
    origin: str,
    demonstration: bool,
    now: int,
) -> Model:
    """Publish an operator's model as the next version. An open round ends without a model."""
    version = store.models.newest_version() + 1
    model = make_model(version, content, origin=origin, demonstration=demonstration, now=now)
    store.models.add(model, now)
    return sync_repository(home, store, task, now)


def sync_repository(home: ServerHome, store: Store, task: Task, now: int) -> Model:
    """Put the newest model into the repository if it is missing, or renew old signatures.

    Returns the model. Raises OperatorActionError NO_MODEL.
    """
    model = store.models.newest()
    if model is None:
        raise OperatorActionError(
            "NO_MODEL", "There is no model.", "Publish one with `aegis-server model publish`."
        )
    moment = datetime.fromtimestamp(now, UTC)
    with home.repository_lock():
        if tuf_repository.published_version(home.repository) < model.version:
            tuf_repository.publish(home.repository, model.content, metadata_of(model, task), moment)
        else:
            tuf_repository.refresh(home.repository, moment)
    return model
