"""Trains the packaged detector on rows from the project's own generator.

`python -m server_stub.cli.bundled_detector server_stub/publishing/demonstration` writes its files.
No row is from a file or a data set. Its report says "demonstration".
"""

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from agent.detector.synthetic import generate
from server_stub.cli.model_training import report_of, train, write
from server_stub.cli.operator_table import ALL, OperatorTable
from server_stub.simulation.data import held_out_groups
from server_stub.training.recipe import SMALL_FLEET, Recipe

ROWS, GROUP_ROWS, SEED = 2000, 6, 20261130
TREES = 30
"""Few, so that the files are small."""


def recipe() -> Recipe:
    """Return the recipe of a small fleet with fewer trees."""
    return replace(SMALL_FLEET, base=replace(SMALL_FLEET.base, trees=TREES))


def make(out: Path) -> dict[str, object]:
    """Train the detector and write it. Returns its report."""
    rows = generate(np.random.default_rng(SEED), ROWS, group_rows=GROUP_ROWS)
    table = OperatorTable(
        rows.rows,
        rows.labels,
        np.full(len(rows.labels), ALL),
        held_out_groups(rows.groups, SEED),
    )
    started = time.monotonic()
    trained, public, head = train(table, recipe(), SEED, lambda _: None)
    report = report_of(table, recipe(), SEED, started, trained, head)
    report |= {"demonstration": True, "seconds": 0.0}
    write(out, trained, public, head, report)
    return report


if __name__ == "__main__":
    print(make(Path(sys.argv[1]))["hold_out"])
