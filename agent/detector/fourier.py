"""Random Fourier features: maps the detector's 115 inputs to many cosines, so that a linear model
can learn a curved boundary.

They approximate the Laplacian kernel exp(-|x - x'|₁/SCALE) (Rahimi, Recht 2007): cosines with
Cauchy frequencies, drawn once from a fixed key. Like the transform they need no data, so devices
share nothing to agree on them. A row's features have an L2 norm of about 1 whatever their number,
so noise in the weights disturbs a verdict as much with 500 of them as with 5,000.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from agent.detector.transform import OUTPUTS
from agent.protocol.keys import derive
from agent.protocol.stream import Stream

SCALE = 12.0
KEY = derive(bytes(32), b"detector/fourier/1")
GAUSSIAN_SCALE = 2.0
GAUSSIAN_KEY = derive(bytes(32), b"detector/gaussian/1")
_CHUNK_ROWS = 1 << 12


def features(inputs: NDArray[np.floating], count: int) -> NDArray[np.float32]:
    """Return the cosine features (n, count) of transformed rows (n, 115)."""
    return _cosines(inputs, *_draw(count))


def gaussian_features(inputs: NDArray[np.floating], count: int) -> NDArray[np.float32]:
    """Return cosine features (n, count) of the Gaussian kernel exp(-‖x - x'‖²/(2·GAUSSIAN_SCALE²))
    of rows (n, k).
    """
    return _cosines(inputs, *_draw_gaussian(inputs.shape[1], count))


def _cosines(
    inputs: NDArray[np.floating], frequencies: NDArray[np.float32], phases: NDArray[np.float32]
) -> NDArray[np.float32]:
    cosines = np.empty((len(inputs), len(phases)), np.float32)
    for start in range(0, len(inputs), _CHUNK_ROWS):
        piece = inputs[start : start + _CHUNK_ROWS].astype(np.float32)
        cosines[start : start + _CHUNK_ROWS] = np.cos(piece @ frequencies + phases)
    cosines *= np.float32((2 / max(1, len(phases))) ** 0.5)
    return cosines


@lru_cache(maxsize=4)
def _draw(count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw frequencies (115, count) and phases (count); each count begins with the same ones."""
    uniform = _uniform(KEY, count, OUTPUTS + 1)
    frequencies = np.tan(np.pi * (uniform[:, :OUTPUTS] - 0.5)) / SCALE
    return frequencies.T.astype(np.float32), (2 * np.pi * uniform[:, OUTPUTS]).astype(np.float32)


@lru_cache(maxsize=4)
def _draw_gaussian(width: int, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw frequencies (width, count) and phases (count); each count begins with the same ones."""
    uniform = _uniform(GAUSSIAN_KEY, count, 2 * width + 1)
    # Box and Muller: two uniform numbers for one normal one.
    radius = np.sqrt(-2 * np.log(uniform[:, :width]))
    normal = radius * np.cos(2 * np.pi * uniform[:, width : 2 * width])
    phases = 2 * np.pi * uniform[:, 2 * width]
    return (normal / GAUSSIAN_SCALE).T.astype(np.float32), phases.astype(np.float32)


def _uniform(key: bytes, count: int, width: int) -> NDArray[np.float64]:
    """Return uniform numbers (count, width) between 0 and 1, both excluded."""
    words = Stream(key).words64(count * width).reshape(count, width)
    uniform: NDArray[np.float64] = ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return uniform
