"""A map of the detector's 115 inputs to many cosines, with constants only: a linear model on it
bends where one on the inputs cannot.

Random Fourier features of the Laplacian kernel exp(-|x - x'|₁/SCALE) (Rahimi, Recht 2007): cosines
with Cauchy frequencies, drawn once from a fixed key. Like the transform it needs no data, so
devices share nothing to agree on it. A row's features have L2 norm about 1 whatever their number,
so noise in the weights costs a verdict the same for 500 of them as for 5,000.
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
    """Cosine features (n, count) of transformed rows (n, 115)."""
    frequencies, phases = _drawn(count)
    made = np.empty((len(inputs), count), np.float32)
    for start in range(0, len(inputs), _CHUNK_ROWS):
        piece = inputs[start : start + _CHUNK_ROWS].astype(np.float32)
        made[start : start + _CHUNK_ROWS] = np.cos(piece @ frequencies + phases)
    made *= np.float32((2 / count) ** 0.5)
    return made


def _drawn(count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Frequencies (115, count) and phases (count); the first ones are the same for every count."""
    words = Stream(KEY).words64(count * (OUTPUTS + 1)).reshape(count, OUTPUTS + 1)
    uniform = ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    frequencies = np.tan(np.pi * (uniform[:, :OUTPUTS] - 0.5)) / SCALE
    return frequencies.T.astype(np.float32), (2 * np.pi * uniform[:, OUTPUTS]).astype(np.float32)
