"""What a model family is: a rule that turns a file's header into a logit, of which a fleet trains
the last, linear part.

    logit(x) = offset(x) + head · φ(x)

`offset` and φ belong to the family and, where it has one, to its frozen base. The head is all that
devices train. So everything that trains, scores or combines needs only `Scorer.prepare` and the
functions of `linear`, whatever the family. A family is data (safetensors) and one file here; it
never runs code from a file.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.detector.verdicts import UNCALIBRATED
from agent.errors import OperatorActionError, PeerError
from agent.protocol.jobs import VerdictBounds

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Rows = NDArray[np.uint64]
Labels = NDArray[np.int64]

MAX_DIMENSION = 5_000
"""Trainable weights of a head: more would drown in the noise of a fleet's budget."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """Rows, ready for any head."""

    offsets: Floats
    """(n,): the part of the logit that no training changes."""
    features: Floats32
    """(n, d): φ, the bias included; an L2 norm of about 1, whatever d is."""

    def __len__(self) -> int:
        return len(self.offsets)

    def take(self, rows: NDArray[np.integer] | slice) -> "Prepared":
        """Return some of the rows."""
        return Prepared(self.offsets[rows], self.features[rows])


class Scorer(Protocol):
    """A family bound to its base and to its task's settings."""

    @property
    def d(self) -> int:
        """Trainable weights of the head, the bias included."""
        ...

    def prepare(self, rows: Rows) -> Prepared:
        """Prepare raw rows (n, 29). Raises ValueError for another shape."""
        ...


@dataclass(frozen=True, eq=False)
class Head:
    """The content of a round's model file."""

    trained: Floats
    """(d,): where the devices' next round starts."""
    scored: Floats
    """(d,): what files are scored with, the average over the last rounds."""
    base_digest: str
    """SHA-256 of the base's file, hex; "" for a family without a base."""
    bounds: VerdictBounds = UNCALIBRATED
    """From which probabilities on a scan says "unsure" and "malicious"."""


class Family(Protocol):
    """One row of the table of families."""

    @property
    def name(self) -> str:
        """As in a task, for example "base+head/1"."""
        ...

    @property
    def has_base(self) -> bool: ...

    def scorer(self, base: bytes, alpha: float) -> Scorer:
        """Read a base (b"" where the family has none) and bind it to the task's α.

        Raises PeerError MODEL_WRONG_SHAPE, MODEL_NOT_FINITE.
        """
        ...

    def read_head(self, content: bytes, d: int) -> Head:
        """Read a round's model file. Raises PeerError MODEL_WRONG_SHAPE, MODEL_NOT_FINITE."""
        ...

    def write_head(self, head: Head) -> bytes:
        """Write a round's model file."""
        ...


def unusable(code: str, why: str, detail: str = "") -> PeerError:
    """Return the error for a base or a head that cannot be used."""
    return PeerError(
        code,
        f"The model {why}; it is not used.",
        "The model in use stays. Tell the operator.",
        detail,
    )


def unknown(name: str) -> OperatorActionError:
    """Return the error for a family that this version does not know."""
    return OperatorActionError(
        "UNKNOWN_TASK", "This version cannot train for this task.", "Update AegisAI.", name[:64]
    )
