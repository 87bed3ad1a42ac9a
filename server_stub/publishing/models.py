"""Models on their way out: made, stored, signed, and put into the repository where devices fetch
them.
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

from agent.detector.model import from_safetensors, to_safetensors, zeros
from agent.errors import AegisError, OperatorActionError
from agent.protocol.canonical import canonical
from agent.protocol.messages import Task
from agent.protocol.signing import Context, sign
from server_stub.config.home import ServerHome
from server_stub.publishing import tuf_repository
from server_stub.storage.records import Model
from server_stub.storage.store import Store

START_MODEL = "start_model.safetensors"


@dataclass(frozen=True)
class Published:
    """The current model as it is handed out."""

    version: int
    sha256: str
    content: bytes
    metadata: bytes
    signature: str


def start_model() -> bytes:
    """The model that comes with the product, or one that knows nothing."""
    packaged = resources.files("agent.detector") / START_MODEL
    return (
        packaged.read_bytes() if packaged.is_file() else to_safetensors(zeros(), demonstration=True)
    )


def make_model(
    version: int, content: bytes, *, origin: str, demonstration: bool, now: int
) -> Model:
    return Model(
        version, hashlib.sha256(content).hexdigest(), now, int(demonstration), origin, content
    )


def check_file(content: bytes, task: Task) -> None:
    """Raise OperatorActionError BAD_MODEL for a file that devices would refuse."""
    try:
        model = from_safetensors(content)
        fits = model.weights.shape == (task.d,)
    except AegisError as error:
        raise OperatorActionError(
            "BAD_MODEL",
            error.message,
            f"Expected a safetensors file with one tensor `weights` of {task.d}.",
        ) from error
    if not fits or float(np.max(np.abs(model.weights))) > 1e6:
        raise OperatorActionError(
            "BAD_MODEL",
            "The model's shape or range is not the task's.",
            "Expected finite weights below a million.",
        )


def moved(content: bytes, step: NDArray[np.float64]) -> bytes:
    """The model file whose weights are those of `content` plus `step`."""
    weights: NDArray[np.float64] = load(content)["weights"].astype(np.float64) + step
    return save({"weights": weights}, None)


def facts(model: Model, task: Task) -> dict[str, int | str]:
    """What is said about a model in the repository."""
    return {
        "task_id": task.task_id,
        "version": model.version,
        "published_at": model.published_at,
        "demonstration": model.demonstration,
        "schema": task.schema,
        "d": task.d,
    }


def published(model: Model, task: Task, key: Ed25519PrivateKey) -> Published:
    """A model with a signature of its own, for `GET /api/v1/model`."""
    metadata: dict[str, Any] = {
        **facts(model, task),
        "sha256": model.sha256,
        "length": len(model.content),
    }
    return Published(
        model.version,
        model.sha256,
        model.content,
        canonical(metadata),
        sign(key, Context.MODEL, metadata),
    )


def bring_up_to_date(home: ServerHome, store: Store, task: Task, now: int) -> Model:
    """Put the newest model into the repository unless it is there, and renew signatures that grow
    old. Raises OperatorActionError NO_MODEL.
    """
    model = store.models.newest()
    if model is None:
        raise OperatorActionError(
            "NO_MODEL", "There is no model.", "Publish one with `aegis-server model publish`."
        )
    moment = datetime.fromtimestamp(now, UTC)
    with home.repository_lock():
        if tuf_repository.published_version(home.repository) < model.version:
            tuf_repository.publish(home.repository, model.content, facts(model, task), moment)
        else:
            tuf_repository.refresh(home.repository, moment)
    return model
