"""Weighted averaging: a device with more rows counts for more, and no one learns how many it has.
Off unless the task turns it on.

1. The weight is w = min(rows, cap)/cap. The device sends one vector of d + 1 coordinates: w times
   its update, then w times a scale.
2. Update and weight share the clipping norm C. The update is clipped to 4C/5 and the scale is 3C/5,
   so the whole vector is at most w·C long and the weight costs no extra privacy. It is rotated,
   rounded, noised and masked with the rest.
3. The server divides the sum of the weighted updates by the noisy sum of the weights, clamped
   between a minimum and the number of devices. The minimum is the least that honest devices can
   weigh, or two standard deviations of the noise if that is more.
"""

import numpy as np
from numpy.typing import NDArray

from agent.privacy.codec import clip, noise_sd
from agent.protocol.messages import RoundConfig, Task

Vector = NDArray[np.float64]


def share_of(rows: int, task: Task) -> float:
    """Return the weight of a device with `rows` rows, in (0, 1]."""
    return min(rows, task.weight_cap) / task.weight_cap


def outgoing(update: Vector, rows: int, task: Task) -> Vector:
    """Return the vector that a device seals, shape (task.width,), from its update (d,).

    The update is clipped. If the task is weighted, it is multiplied by the weight, which is
    appended. Raises InternalError NOT_FINITE.
    """
    norm = task.clip_milli / 1000
    if not task.weight_cap:
        return clip(update, norm)
    weight = share_of(rows, task)
    return np.append(clip(update, norm * 4 / 5) * weight, weight * _scale(task))


def incoming(mean: Vector, task: Task, config: RoundConfig, count: int) -> Vector:
    """Return the model step (d,) from the mean (task.width,) of `count` sealed vectors."""
    if not task.weight_cap:
        return mean
    scale = _scale(task)
    minimum = max(share_of(task.min_rows, task), 2 * noise_sd(config, count) / scale)
    return mean[:-1] / min(1.0, max(float(mean[-1]) / scale, min(minimum, 1.0)))


def _scale(task: Task) -> float:
    """Return the coordinate that stands for weight 1."""
    return task.clip_milli / 1000 * 3 / 5
