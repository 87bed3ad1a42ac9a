"""Which published model serves again when the newest one fails the canary, for example on rows that
the operator added since.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from server_stub.validation.canary import CanaryRows, judge


@dataclass(frozen=True, eq=False)
class PublishedRows:
    """A published model on the operator's rows of today."""

    version: int
    rows: CanaryRows


def replacement(published: Sequence[PublishedRows]) -> int | None:
    """The version to publish again under a higher number; None while the newest one passes.

    `published`: oldest first; the first is the start model. The newest earlier model that passes is
    taken, and at last the start model itself.
    """
    if len(published) < 2:
        return None
    start, newest = published[0], published[-1]
    best = min(published, key=lambda one: float(one.rows.losses.mean()))
    if judge(newest.rows, best.rows, start.rows).passes:
        return None
    for one in reversed(published[:-1]):
        if judge(one.rows, best.rows, start.rows).passes:
            return one.version
    return start.version
