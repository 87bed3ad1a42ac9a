"""Sets a model's thresholds on the operator's mixed rows, and says how sure they are."""

from argparse import Namespace
from dataclasses import replace
from typing import Any

import numpy as np

from agent.detector.families.family import Floats
from agent.detector.scoring import read_model
from agent.errors import OperatorActionError, UserActionError
from server_stub.cli.operator_table import OperatorTable, read_table
from server_stub.cli.parser import Answer
from server_stub.cli.stored_models import files_of, newest, refuse_in_a_round
from server_stub.config.home import ServerHome
from server_stub.demo.intervals import wilson
from server_stub.publishing import heads, models
from server_stub.publishing.calibration import Calibration, write_calibration
from server_stub.publishing.public_rows import read_public_rows
from server_stub.storage.store import Store
from server_stub.training.base import header_groups

MIN_BENIGN = 100
"""With fewer, a share of a per cent is less than one file."""


def calibrate(home: ServerHome, store: Store, options: Namespace, now: int) -> Answer:
    """Publish the newest model again with thresholds from the rows in `options.data`.

    The rows are kept, so that each later model is calibrated alike. Where the table has a split,
    only its hold-out counts. Raises UserActionError
    BAD_TABLE, NOT_NUMBERS, ONE_CLASS, TOO_FEW_ROWS, OperatorActionError NO_MODEL,
    ROUND_IN_PROGRESS.
    """
    if options.unsure_fpr < options.fpr:
        raise OperatorActionError(
            "BAD_SETTING", "--unsure-fpr is smaller than --fpr.", "Give a larger share."
        )
    model, table = newest(store), read_table(options.data).judged
    table.check_both_classes()
    benign_rows = int(np.sum(table.labels == 0))
    if benign_rows < MIN_BENIGN:
        raise UserActionError(
            "TOO_FEW_ROWS",
            f"{benign_rows} benign rows are too few to calibrate on; it takes {MIN_BENIGN}.",
            "Add benign rows of the software that your users have.",
        )
    if not options.end_round:
        refuse_in_a_round(store)
    detector = read_model(files_of(home, model))
    calibration = Calibration(table.rows, table.labels, options.fpr, options.unsure_fpr)
    bounds = calibration.bounds(detector)
    head = replace(detector.head, bounds=bounds)
    write_calibration(home.calibration_file, calibration)
    published = models.publish(
        home,
        store,
        home.settings().task,
        detector.family.write_head(head),
        origin=f"{heads.CALIBRATED}{model.origin.removeprefix(heads.CALIBRATED)}",
        demonstration=bool(model.demonstration),
        now=now,
    )
    chances = detector.probability(table.rows)
    return {
        "version": published.version,
        "benign_below": bounds.benign_below,
        "malicious_from": bounds.malicious_from,
        "stated_fpr": options.fpr,
        "rows": len(table),
        **_rates(table, chances, bounds.malicious_from),
        "warnings": warnings_of(home, table),
    }


def _rates(table: OperatorTable, chances: Floats, threshold: float) -> dict[str, Any]:
    """Return rates at a threshold: over all rows with an interval, and by source."""
    called, benign = chances >= threshold, table.labels == 0
    false = int(np.sum(called & benign))
    interval = wilson(false, int(np.sum(benign)))
    return {
        "fpr": round(float(np.mean(called[benign])), 6),
        "fpr_interval": [round(interval.low, 6), round(interval.high, 6)],
        "tpr": round(float(np.mean(called[~benign])), 6),
        "fpr_by_source": {
            name: round(float(np.mean(called[chosen])), 6)
            for name in sorted(set(table.sources.tolist()))
            if (chosen := benign & (table.sources == name)).any()
        },
    }


def warnings_of(home: ServerHome, table: OperatorTable) -> list[str]:
    """Return what makes the stated rate less than it seems."""
    found = []
    if home.rows_file.is_file():
        rows = read_public_rows(home.rows_file)
        groups = header_groups(np.concatenate([rows.rows, table.rows]))
        trained = set(groups[: len(rows)].tolist())
        if count := sum(group in trained for group in groups[len(rows) :].tolist()):
            found.append(
                f"{count} rows have the header of a row that the model was trained on (CheckSum"
                " apart): the rate is better on them than on other files."
            )
    benign = {
        name: int(np.sum(table.labels[table.sources == name] == 0))
        for name in sorted(set(table.sources.tolist()))
    }
    if missing := [name for name, count in benign.items() if not count]:
        found.append(
            f"No benign rows of {', '.join(missing)}: calibration has never seen such software, and"
            " the rate says nothing about it."
        )
    return found
