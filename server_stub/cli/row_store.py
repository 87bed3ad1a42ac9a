"""Adds to the operator's own rows and counts them."""

from pathlib import Path

import numpy as np

from agent.detector.families.base_head import read_base
from agent.detector.transform import transform
from agent.errors import OperatorActionError
from server_stub.cli.operator_table import read_table
from server_stub.cli.parser import Answer
from server_stub.config.home import ServerHome
from server_stub.publishing.public_rows import PublicRows, read_public_rows, write_public_rows


def add_rows(home: ServerHome, path: Path) -> Answer:
    """Add rows that the base was not trained on. Rows that are known are left out.

    Raises UserActionError BAD_TABLE, NOT_NUMBERS, ONE_CLASS, OperatorActionError NO_BASE.
    """
    _check_has_base(home)
    table = read_table(path)
    known = read_public_rows(home.rows_file) if home.rows_file.is_file() else None
    if known is None:
        table.check_both_classes()
    logits = read_base(home.base_file.read_bytes()).logits(transform(table.rows))
    fresh = PublicRows(table.rows, table.labels, logits)
    joined = fresh if known is None else known.joined(fresh)
    write_public_rows(home.rows_file, joined)
    before = 0 if known is None else len(known)
    added = len(joined) - before
    return {"added": added, "known": len(fresh) - added, **_counts(joined)}


def show_rows(home: ServerHome) -> Answer:
    """Count the rows. Raises OperatorActionError NO_BASE, BAD_ROWS."""
    _check_has_base(home)
    if not home.rows_file.is_file():
        return {"rows": 0, "benign": 0, "malicious": 0}
    return _counts(read_public_rows(home.rows_file))


def _counts(rows: PublicRows) -> dict[str, int]:
    malicious = int(np.sum(rows.labels))
    return {"rows": len(rows), "benign": len(rows) - malicious, "malicious": malicious}


def _check_has_base(home: ServerHome) -> None:
    if not home.settings().task.base_sha256:
        raise OperatorActionError(
            "NO_BASE",
            "The task of this server has no base, so it learns from devices alone.",
            "Make a server with `aegis-server init --detector`.",
        )
