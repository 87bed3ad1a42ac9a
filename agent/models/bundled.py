"""The demonstration model that ships with the program, and the model that a scan uses."""

import hashlib
from dataclasses import dataclass
from importlib import resources

from agent.protocol.jobs import ModelFiles

DAY_S = 24 * 3600
OLD_DAYS = 180
"""An operator whose rounds go on publishes far more often."""


@dataclass(frozen=True)
class ScanningModel:
    """The model that `aegis scan` scores files with."""

    files: ModelFiles
    version: int
    """0 is the bundled model."""
    sha256: str
    demonstration: bool
    published_at: int = 0
    """Seconds since the epoch; 0 for the bundled model."""

    def age_days(self, now: int) -> int | None:
        """Return the days since the operator published it; None for the bundled model."""
        return max(0, now - self.published_at) // DAY_S if self.published_at else None

    def is_too_old(self, now: int) -> bool:
        """Return whether verdicts deserve a warning, because software has changed since."""
        age = self.age_days(now)
        return age is not None and age > OLD_DAYS


def bundled_model() -> ScanningModel:
    """Return the packaged demonstration model."""
    content = resources.files("agent.detector").joinpath("start_model.safetensors").read_bytes()
    return ScanningModel(
        ModelFiles(content), 0, hashlib.sha256(content).hexdigest(), demonstration=True
    )
