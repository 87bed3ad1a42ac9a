"""A whole model, ready to score headers: the files of a model of any family, bound together."""

from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from agent.detector.families import linear
from agent.detector.families.family import Family, Floats, Head, Prepared, Rows, Scorer, unusable
from agent.detector.families.table import family
from agent.protocol.jobs import ModelFiles


@dataclass(frozen=True, eq=False)
class Detector:
    """A model, read and checked. Only `read_model` makes one."""

    family: Family
    scorer: Scorer
    head: Head

    def prepare(self, rows: Rows) -> Prepared:
        """Prepare raw rows (n, 29) for training or scoring."""
        return self.scorer.prepare(rows)

    def logits(self, rows: Rows) -> Floats:
        """Return the logit (n,) of being malicious of raw rows (n, 29)."""
        if not len(rows):
            return np.zeros(0)
        return linear.logits(self.prepare(rows), self.head.scored)

    def probability(self, rows: Rows) -> Floats:
        """Return the probability (n,) of being malicious of raw rows (n, 29)."""
        return linear.probability(self.logits(rows))


def read_model(files: ModelFiles) -> Detector:
    """Read the files of a model.

    Raises PeerError MODEL_WRONG_SHAPE, MODEL_NOT_FINITE, OperatorActionError UNKNOWN_TASK.
    """
    known = family(files.family)
    scorer = known.scorer(files.base, files.base_weight_milli / 1000)
    head = known.read_head(files.head, scorer.d)
    if head.base_digest and head.base_digest != sha256(files.base).hexdigest():
        raise unusable("MODEL_WRONG_SHAPE", "belongs to another base")
    return Detector(known, scorer, head)
