"""The family `base+head/1`: a frozen base that the operator trains on public samples and signs, and
a small head that the fleet trains.

    logit(x) = α·f₀(x) + head · φ(x)

- f₀ is the mean logit of a neural network and of boosted trees, or of the trees alone.
- φ is random Fourier features of the transformed header (Laplacian kernel, `fourier`), and, where
  the base has a network, of the direction of its last hidden layer (Gaussian kernel). Each kind
  has an L2 norm of about 1, or of √½ where there are both. The last feature is the constant BIAS.

Frequencies come from fixed keys, so the file holds none. A base is its tensors and "phi", the
number of features of each kind.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from agent.detector import fourier
from agent.detector.families import perceptron, tensors, trees
from agent.detector.families.family import (
    MAX_DIMENSION,
    Floats,
    Head,
    Prepared,
    Rows,
    Scorer,
    unusable,
)
from agent.detector.families.perceptron import Perceptron
from agent.detector.families.tensors import ANY, Form
from agent.detector.families.trees import Trees
from agent.detector.schema import SCHEMA
from agent.detector.transform import transform
from agent.detector.verdicts import bounds_of, bounds_text
from agent.protocol.limits import MAX_BASE_BYTES

BIAS = 0.3
"""The constant feature beside features of norm 1."""
HIDDEN_RADIUS = 5.0
"""The last hidden layer is scaled to this length before its cosines are taken."""
FORMS = {**trees.FORMS, **perceptron.FORMS, "phi": Form(np.int64, (2,))}
HEAD_FORMS = {
    "trained": Form(np.float64, (ANY,), MAX_DIMENSION),
    "scored": Form(np.float64, (ANY,), MAX_DIMENSION),
    "base": Form(np.uint8, (32,)),
}


@dataclass(frozen=True, eq=False)
class Base:
    """What the operator trains once and signs."""

    trees: Trees
    network: Perceptron | None
    laplacian: int
    """Features of the transformed header."""
    gaussian: int
    """Features of the network's hidden layer; 0 without a network."""

    @property
    def d(self) -> int:
        return self.laplacian + self.gaussian + 1

    @cached_property
    def content(self) -> bytes:
        """The base as a file."""
        network = {} if self.network is None else self.network.to_tensors()
        phi = np.array([self.laplacian, self.gaussian], np.int64)
        return save({**self.trees.to_tensors(), **network, "phi": phi}, {"schema": SCHEMA})

    @property
    def digest(self) -> str:
        """SHA-256 of the file, hex."""
        return sha256(self.content).hexdigest()

    def logits(self, inputs: Floats) -> Floats:
        """Return f₀ (n,) of transformed rows (n, 115)."""
        from_trees = self.trees.logits(inputs)
        if self.network is None:
            return from_trees
        return (from_trees + self.network.logits(self.network.hidden(inputs))) / 2

    def features(self, inputs: Floats) -> NDArray[np.float32]:
        """Return φ (n, d) of transformed rows (n, 115)."""
        wide = np.empty((len(inputs), self.d), np.float32)
        wide[:, : self.laplacian] = fourier.features(inputs, self.laplacian)
        if self.network is not None:
            hidden = self.network.hidden(inputs)
            length = np.maximum(np.linalg.norm(hidden, axis=1, keepdims=True), 1e-9)
            wide[:, self.laplacian : -1] = fourier.gaussian_features(
                hidden * (HIDDEN_RADIUS / length), self.gaussian
            )
            wide[:, :-1] *= np.float32(0.5**0.5)
        wide[:, -1] = BIAS
        return wide


def read_base(content: bytes) -> Base:
    """Read a base's file. Raises PeerError MODEL_WRONG_SHAPE, MODEL_NOT_FINITE."""
    if len(content) > MAX_BASE_BYTES:
        raise unusable("MODEL_WRONG_SHAPE", f"has a base of more than {MAX_BASE_BYTES >> 20} MiB")
    found = tensors.read(content, FORMS, frozenset(perceptron.FORMS))
    laplacian, gaussian = (int(count) for count in found["phi"].astype(np.int64))
    network = _network(found)
    if (
        laplacian < 1
        or gaussian < 0
        or laplacian + gaussian + 1 > MAX_DIMENSION
        or (network is None) != (gaussian == 0)
    ):
        raise unusable("MODEL_WRONG_SHAPE", "has features of a number that does not fit")
    return Base(trees.from_tensors(found), network, laplacian, gaussian)


def _network(found: Mapping[str, NDArray[np.generic]]) -> Perceptron | None:
    return perceptron.from_tensors(found) if "mlp.0.weight" in found else None


@dataclass(frozen=True, eq=False)
class BaseHeadScorer:
    base: Base
    alpha: float

    @property
    def d(self) -> int:
        return self.base.d

    def prepare(self, rows: Rows) -> Prepared:
        inputs = transform(rows)
        return Prepared(self.alpha * self.base.logits(inputs), self.base.features(inputs))


@dataclass(frozen=True)
class BaseHead:
    @property
    def name(self) -> str:
        return "base+head/1"

    @property
    def has_base(self) -> bool:
        return True

    def scorer(self, base: bytes, alpha: float) -> Scorer:
        return BaseHeadScorer(read_base(base), alpha)

    def read_head(self, content: bytes, d: int) -> Head:
        found = tensors.read(content, HEAD_FORMS)
        trained, scored = (found[name].astype(np.float64) for name in ("trained", "scored"))
        if trained.shape != (d,) or scored.shape != (d,):
            raise unusable("MODEL_WRONG_SHAPE", f"does not have a head of {d} weights")
        bounds = bounds_of(tensors.metadata(content))
        return Head(trained, scored, found["base"].tobytes().hex(), bounds)

    def write_head(self, head: Head) -> bytes:
        digest = np.frombuffer(bytes.fromhex(head.base_digest), np.uint8)
        parts: dict[str, NDArray[np.generic]] = {
            "trained": head.trained,
            "scored": head.scored,
            "base": digest,
        }
        return save(parts, {"schema": SCHEMA, **bounds_text(head.bounds)})
