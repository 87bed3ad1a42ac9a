"""The model in use, on disk: two slots and a pointer that is switched in one step; beside them the
version below which none is taken.

The floor lies outside the models' folder, so that deleting the folder does not open the way for an
older model. Order of writing: slot, pointer, floor; whichever step a crash falls on, either the old
or the new model is whole and in use.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from agent import atomic_file
from agent.errors import PeerError
from agent.models.verify import Floor, ModelFacts, VerifiedModel, check_model, verify_model
from agent.protocol.limits import MAX_HEADER_BYTES, MAX_MODEL_BYTES
from agent.protocol.messages import Task

_SLOTS = ("a", "b")


class ModelStore:
    """The models of one home. File access only; call from an executor."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "models"
        self._pointer = self._folder / "current.json"
        self._floor = home / "model-floor.json"

    def floor(self) -> Floor:
        """The newest version ever accepted, as far as either file still knows."""
        known = [_read_json(self._floor), _read_json(self._pointer)]
        floors = [
            Floor(said["version"], str(said.get("sha256")))
            for said in known
            if isinstance(said.get("version"), int)
        ]
        return max(floors, key=lambda floor: floor.version, default=Floor())

    def current(self, signing_key: str, task: Task) -> VerifiedModel | None:
        """The model in use, checked anew; None when there is none that passes."""
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
                    floor=self.floor(),
                )
            return check_model(
                ModelFacts.from_json(json.loads(metadata)), content, task=task, floor=self.floor()
            )
        except (OSError, ValueError, KeyError, PeerError):
            return None

    def install(self, model: VerifiedModel) -> None:
        """Make `model` the one in use. Raises OSError; then the old one stays."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        slot = _SLOTS[1] if _read_json(self._pointer).get("slot") == _SLOTS[0] else _SLOTS[0]
        seen = {"version": model.version, "sha256": model.sha256}
        atomic_file.write(self._slot(slot), model.content)
        pointer = {
            **seen,
            "slot": slot,
            "metadata": model.metadata.decode(),
            "signature": model.signature,
        }
        atomic_file.write(self._pointer, json.dumps(pointer).encode())
        atomic_file.write(self._floor, json.dumps(seen).encode())

    def clear(self) -> None:
        """Forget models and floor (erase)."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._floor.unlink(missing_ok=True)

    def _slot(self, name: str) -> Path:
        """Raises ValueError for anything but a slot's name."""
        return self._folder / f"{_SLOTS[_SLOTS.index(name)]}.safetensors"


def _read_json(path: Path) -> dict[str, Any]:
    """A file of ours; {} when it is not there or not readable."""
    try:
        said = json.loads(atomic_file.read(path, 2 * MAX_HEADER_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
