"""Which rows each simulated device has. Pure.

- `real`: like people's computers. Each device has ten files of the software without packages, and
  ten of each of two packages; devices share files, as they do in life.
- `disjoint`: every file is on one device only. Nobody's computers look like that; it is what a
  partition of a table gives.
- `iid`: rows at random, of every source.
- `dirichlet`: as `iid`, but each device's share of malware is drawn from Dirichlet(0.3, 0.3).
- `one-source`: all rows of a device come from one source.

Benign-only devices have rows of the sources without malware, which the operator does not have.
Labelled devices have rows of every source, of both sorts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from agent.errors import UserActionError

FILES = 10
"""Of each kind, on a device of the composition `real`."""
PACKAGES = 2
ROWS = 20
"""On a device where rows are drawn with replacement."""
CONCENTRATION = 0.3
Indices = NDArray[np.int64]


class Composition(StrEnum):
    REAL = "real"
    DISJOINT = "disjoint"
    IID = "iid"
    DIRICHLET = "dirichlet"
    ONE_SOURCE = "one-source"


@dataclass(frozen=True, eq=False)
class Pool:
    """The rows that devices may have."""

    rows: Indices
    """(n,): places in the table."""
    labels: NDArray[np.int64]
    """(n,)"""
    sources: NDArray[np.int64]
    """(n,)"""
    packages: NDArray[np.int64]
    """(n,): -1 for a file that belongs to none."""


def deal(
    composition: Composition, pool: Pool, devices: int, draw: np.random.Generator
) -> tuple[Indices, ...]:
    """Return the places in the table of each device's rows.

    Raises UserActionError TOO_FEW_ROWS.
    """
    if len(pool.rows) < devices:
        raise UserActionError(
            "TOO_FEW_ROWS",
            f"{len(pool.rows)} rows are too few for {devices} devices.",
            "Ask for fewer devices.",
        )
    dealt = _DEALERS[composition](pool, devices, draw)
    return tuple(pool.rows[places] for places in dealt)


def _real(pool: Pool, devices: int, draw: np.random.Generator) -> list[Indices]:
    loose = np.flatnonzero(pool.packages < 0)
    packed = [
        np.flatnonzero(pool.packages == package)
        for package in np.unique(pool.packages[pool.packages >= 0])
    ]
    dealt = []
    for _ in range(devices):
        chosen = draw.permutation(len(packed))[:PACKAGES]
        piles = [loose, *(packed[package] for package in chosen)]
        dealt.append(np.concatenate([draw.permutation(pile)[:FILES] for pile in piles]))
    return dealt


def _disjoint(pool: Pool, devices: int, draw: np.random.Generator) -> list[Indices]:
    return np.array_split(draw.permutation(len(pool.rows)), devices)


def _iid(pool: Pool, devices: int, draw: np.random.Generator) -> list[Indices]:
    # Without replacement while the rows last, so that a device of a small fleet has more of them.
    each = len(pool.rows) // devices
    if each >= ROWS:
        return np.array_split(draw.permutation(len(pool.rows)), devices)
    return [draw.choice(len(pool.rows), ROWS) for _ in range(devices)]


def _dirichlet(pool: Pool, devices: int, draw: np.random.Generator) -> list[Indices]:
    benign, malicious = (np.flatnonzero(pool.labels == label) for label in (0, 1))
    each = max(ROWS, len(pool.rows) // devices)
    dealt = []
    for share in draw.dirichlet([CONCENTRATION, CONCENTRATION], devices)[:, 0]:
        count = round(each * share) if len(malicious) else 0
        rows = [draw.choice(malicious, count)] if count else []
        dealt.append(np.concatenate([*rows, draw.choice(benign, each - count)]))
    return dealt


def _one_source(pool: Pool, devices: int, draw: np.random.Generator) -> list[Indices]:
    each = max(ROWS, len(pool.rows) // devices)
    source = pool.sources[draw.integers(0, len(pool.rows), devices)]
    return [draw.choice(np.flatnonzero(pool.sources == one), each) for one in source]


_DEALERS: dict[Composition, Callable[[Pool, int, np.random.Generator], list[Indices]]] = {
    Composition.REAL: _real,
    Composition.DISJOINT: _disjoint,
    Composition.IID: _iid,
    Composition.DIRICHLET: _dirichlet,
    Composition.ONE_SOURCE: _one_source,
}
