"""Thresholds at a stated false-positive rate, on rows that the operator keeps for it.

1. "Malicious" begins above the benign row that leaves at most the stated share above it; "unsure"
   begins where the same holds for a larger share.
2. Rows of the calibration were not trained on, and cover each kind of software that the operator
   knows: a rate that was measured on one source says nothing about another.
"""

import io
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.detector.families.family import Floats, Labels, Rows
from agent.detector.scoring import Detector
from agent.errors import OperatorActionError
from agent.files import atomic_file
from agent.protocol.jobs import VerdictBounds


@dataclass(frozen=True, eq=False)
class Calibration:
    rows: Rows
    """(n, 29): benign rows and malicious ones."""
    labels: Labels
    fpr: float
    """Share of benign rows that may be called malicious."""
    unsure_fpr: float
    """Share of benign rows that may be called unsure or malicious."""

    def bounds(self, detector: Detector) -> VerdictBounds:
        """Return where the verdicts of this model begin."""
        benign = detector.probability(self.rows[self.labels == 0])
        malicious_from, benign_below = (
            threshold_at(benign, share) for share in (self.fpr, self.unsure_fpr)
        )
        return VerdictBounds(min(benign_below, malicious_from), malicious_from, self.fpr)

    def to_bytes(self) -> bytes:
        """The calibration as an .npz file."""
        file = io.BytesIO()
        shares = np.array([self.fpr, self.unsure_fpr])
        np.savez(file, X=self.rows, y=self.labels.astype(np.int8), shares=shares)
        return file.getvalue()


def threshold_at(benign: Floats, share: float) -> float:
    """Return the lowest probability that at most a share of the benign rows reaches."""
    allowed = int(share * len(benign))
    return min(1.0, math.nextafter(float(np.sort(benign)[len(benign) - 1 - allowed]), 2.0))


def read_calibration(path: Path) -> Calibration | None:
    """Read a calibration; None where there is none. Raises OperatorActionError BAD_ROWS."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            fpr, unsure_fpr = arrays["shares"].tolist()
            rows, labels = arrays["X"].astype(np.uint64), arrays["y"].astype(np.int64)
            return Calibration(rows, labels, fpr, unsure_fpr)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise OperatorActionError(
            "BAD_ROWS",
            "The rows of the calibration cannot be read.",
            "Run `aegis-server model calibrate` again.",
        ) from error


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write the calibration in one step."""
    atomic_file.write(path, calibration.to_bytes())
