"""The demonstration model that ships with the program, and the model that a scan uses."""

import hashlib
from dataclasses import dataclass
from importlib import resources

from agent.protocol.jobs import ModelFiles


@dataclass(frozen=True)
class ScanningModel:
    """The model that `aegis scan` scores files with."""

    files: ModelFiles
    version: int
    """0 is the bundled model."""
    sha256: str
    demonstration: bool


def bundled_model() -> ScanningModel:
    """Return the packaged demonstration model."""
    content = resources.files("agent.detector").joinpath("start_model.safetensors").read_bytes()
    return ScanningModel(
        ModelFiles(content), 0, hashlib.sha256(content).hexdigest(), demonstration=True
    )
