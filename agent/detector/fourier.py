"""Random Fourier features: maps the detector's 115 inputs to many cosines, so that a linear model
can learn a curved boundary.

They approximate the Laplacian kernel exp(-|x - x'|₁/SCALE) (Rahimi, Recht 2007): cosines with
Cauchy frequencies, drawn once from a fixed key. Like the transform they need no data, so devices
share nothing to agree on them. A row's features have an L2 norm of about 1 whatever their number,
so noise in the weights disturbs a verdict as much with 500 of them as with 5,000.
"""

import numpy as np
from numpy.typing import NDArray

from agent.detector.transform import OUTPUTS
from agent.protocol.keys import derive
from agent.protocol.stream import Stream

SCALE = 12.0
KEY = derive(bytes(32), b"detector/fourier/1")
_CHUNK_ROWS = 1 << 12


def features(inputs: NDArray[np.floating], count: int) -> NDArray[np.float32]:
    """Return the cosine features (n, count) of transformed rows (n, 115)."""
    frequencies, phases = _draw(count)
    cosines = np.empty((len(inputs), count), np.float32)
    for start in range(0, len(inputs), _CHUNK_ROWS):
        piece = inputs[start : start + _CHUNK_ROWS].astype(np.float32)
        cosines[start : start + _CHUNK_ROWS] = np.cos(piece @ frequencies + phases)
    cosines *= np.float32((2 / count) ** 0.5)
    return cosines


def _draw(count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw frequencies (115, count) and phases (count); each count begins with the same ones."""
    words = Stream(KEY).words64(count * (OUTPUTS + 1)).reshape(count, OUTPUTS + 1)
    uniform = ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    frequencies = np.tan(np.pi * (uniform[:, :OUTPUTS] - 0.5)) / SCALE
    return frequencies.T.astype(np.float32), (2 * np.pi * uniform[:, OUTPUTS]).astype(np.float32)
