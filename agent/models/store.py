"""Keeps the model in use on the disk: two slots, a pointer that switches between them in one step,
the base, and the minimum version.

1. The minimum version lies outside the models' folder, so deleting the folder does not make way for
   an older model.
2. Slot, pointer and minimum are written in this order. Whatever step a crash hits, either the old
   or the new model is complete and in use.
"""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.errors import PeerError
from agent.files import atomic_file
from agent.models.verify import (
    MinModelVersion,
    ModelFacts,
    VerifiedModel,
    check_base,
    check_model,
    verify_model,
)
from agent.protocol.limits import MAX_BASE_BYTES, MAX_HEADER_BYTES, MAX_MODEL_BYTES
from agent.protocol.messages import Task

_SLOTS = ("a", "b")


class ModelStore:
    """The models of one home. File access only; call from an executor."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "models"
        self._pointer = self._folder / "current.json"
        self._min_version = home / "model-floor.json"

    def min_version(self) -> MinModelVersion:
        """Return the newest version ever accepted that either file remembers."""
        records = [_read_json(self._min_version), _read_json(self._pointer)]
        versions = [
            MinModelVersion(record["version"], str(record.get("sha256")))
            for record in records
            if isinstance(record.get("version"), int)
        ]
        return max(versions, key=lambda accepted: accepted.version, default=MinModelVersion())

    def current(self, signing_key: str, task: Task) -> VerifiedModel | None:
        """Return the model in use after checking it and its base again; None when no model
        passes.
        """
        base = self.base(task)
        model = None if base is None else self._current(signing_key, task)
        return None if model is None or base is None else replace(model, base=base)

    def _current(self, signing_key: str, task: Task) -> VerifiedModel | None:
        pointer = _read_json(self._pointer)
        try:
            content = atomic_file.read(self._slot(pointer["slot"]), MAX_MODEL_BYTES)
            metadata, signature = str(pointer["metadata"]).encode(), str(pointer["signature"])
            if signature:
                return verify_model(
                    metadata,
                    signature,
                    content,
                    signing_key=signing_key,
                    task=task,
                    minimum=self.min_version(),
                )
            return check_model(
                ModelFacts.from_json(json.loads(metadata)),
                content,
                task=task,
                minimum=self.min_version(),
            )
        except (OSError, ValueError, KeyError, PeerError):
            return None

    def described(self) -> ModelFacts | None:
        """Return what the model in use says of itself; None when there is none that a scan would
        use. Its digest and version are checked, its signature is not: each use does that.
        """
        pointer = _read_json(self._pointer)
        try:
            facts = ModelFacts.from_json(json.loads(str(pointer["metadata"])))
            content = atomic_file.read(self._slot(pointer["slot"]), MAX_MODEL_BYTES)
        except (OSError, ValueError, KeyError, PeerError):
            return None
        is_whole = hashlib.sha256(content).hexdigest() == facts.sha256
        return facts if is_whole and facts.version >= self.min_version().version else None

    def install(self, model: VerifiedModel) -> None:
        """Make `model` the one in use. Raises OSError; then the old one stays in use."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        slot = _SLOTS[1] if _read_json(self._pointer).get("slot") == _SLOTS[0] else _SLOTS[0]
        accepted = {"version": model.version, "sha256": model.sha256}
        atomic_file.write(self._slot(slot), model.content)
        pointer = {
            **accepted,
            "slot": slot,
            "metadata": model.metadata.decode(),
            "signature": model.signature,
        }
        atomic_file.write(self._pointer, json.dumps(pointer).encode())
        atomic_file.write(self._min_version, json.dumps(accepted).encode())

    def base(self, task: Task) -> bytes | None:
        """Return the base that the task names, checked again; b"" for a task without one, None
        where it is missing or altered.
        """
        if not task.base_sha256:
            return b""
        try:
            content = atomic_file.read(self._base(task.base_sha256), MAX_BASE_BYTES)
            check_base(content, task)
        except (OSError, PeerError):
            return None
        return content

    def has_base(self, task: Task) -> bool:
        """Return whether the task's base is here, or it needs none."""
        return not task.base_sha256 or self._base(task.base_sha256).is_file()

    def keep_base(self, content: bytes, task: Task) -> None:
        """Keep the base of this task, in place of any other. Raises OSError."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        atomic_file.write(self._base(task.base_sha256), content)
        for path in self._folder.glob("base-*.safetensors"):
            if path != self._base(task.base_sha256):
                path.unlink(missing_ok=True)

    def remove_files(self) -> None:
        """Delete the models and the base; the minimum version stays."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def clear(self) -> None:
        """Delete the models and the minimum version (erase)."""
        self.remove_files()
        self._min_version.unlink(missing_ok=True)

    def _base(self, sha256: str) -> Path:
        return self._folder / f"base-{sha256}.safetensors"

    def _slot(self, name: str) -> Path:
        """Return the file of a slot. Raises ValueError for anything but a slot's name."""
        return self._folder / f"{_SLOTS[_SLOTS.index(name)]}.safetensors"


def _read_json(path: Path) -> dict[str, Any]:
    """Read a file of ours; {} when it is missing or unreadable."""
    try:
        record = json.loads(atomic_file.read(path, 2 * MAX_HEADER_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}
