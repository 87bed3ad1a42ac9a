"""When a finished update may be reported as ready: a time that tells nothing about the training.

The server knows when a device asked for the offer that it trains on. A device that became ready as
soon as it had trained would tell how long that took, and so how many rows it has and how fast this
computer is. So readiness comes in slots of half an hour that begin with that offer: a random time
in the first slot after training and hold. Trainings of less than half an hour look all alike; of a
longer one the server learns the number of half hours.
"""

SLOT_S = 30 * 60


def ready_at(begun_at: int, finished_at: int, hold_s: int, draw: float) -> int:
    """Return the earliest time to say ready, at least `hold_s` after the training.

    `draw` is uniform in [0, 1), drawn once for each update.
    """
    slots = max(1, -(-(finished_at - begun_at) // SLOT_S))
    return begun_at + hold_s + slots * SLOT_S + int(draw * SLOT_S)
