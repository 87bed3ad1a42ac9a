"""The family `logistic/1`: a logistic regression over the 115 transformed inputs, no base."""

from dataclasses import dataclass

import numpy as np

from agent.detector.families import tensors
from agent.detector.families.family import Head, Prepared, Rows, Scorer, unusable
from agent.detector.model import DIMENSION, LogisticModel, from_safetensors, to_safetensors
from agent.detector.transform import transform
from agent.detector.verdicts import bounds_of, bounds_text


@dataclass(frozen=True)
class LogisticScorer:
    @property
    def d(self) -> int:
        return DIMENSION

    def prepare(self, rows: Rows) -> Prepared:
        features = np.ones((len(rows), DIMENSION), np.float32)
        features[:, :-1] = transform(rows)
        return Prepared(np.zeros(len(rows)), features)


@dataclass(frozen=True)
class Logistic:
    @property
    def name(self) -> str:
        return "logistic/1"

    @property
    def has_base(self) -> bool:
        return False

    def scorer(self, base: bytes, alpha: float) -> Scorer:
        if base or alpha:
            raise unusable("MODEL_WRONG_SHAPE", "has a base, which this family has not")
        return LogisticScorer()

    def read_head(self, content: bytes, d: int) -> Head:
        if d != DIMENSION:
            raise unusable("MODEL_WRONG_SHAPE", f"does not have {DIMENSION} weights")
        weights = from_safetensors(content).weights
        return Head(weights, weights, "", bounds_of(tensors.metadata(content)))

    def write_head(self, head: Head) -> bytes:
        bounds = bounds_text(head.bounds)
        return to_safetensors(LogisticModel(head.trained), metadata=bounds)
