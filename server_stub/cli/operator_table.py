"""Reads an operator's table of labelled rows, and refuses by name what would spoil a model.

A table is an .npz file with X (n, 29) and y (n; 1 = malicious), and where it has them `split` (0
train, 1 hold-out), `source` (n) and `source_names`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.detector.families.family import Labels, Rows
from agent.errors import UserActionError
from server_stub.simulation.data import rows_of
from server_stub.training.base import header_groups

ALL = "all"
"""The name of the source in a table without that column."""


@dataclass(frozen=True, eq=False)
class OperatorTable:
    rows: Rows
    """(n, 29)"""
    labels: Labels
    sources: NDArray[np.str_]
    """(n,): where each row is from."""
    held_out: NDArray[np.bool_]
    """(n,): rows that no model may be trained on."""

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, chosen: NDArray[np.bool_]) -> "OperatorTable":
        """Return some of the rows."""
        return OperatorTable(
            self.rows[chosen], self.labels[chosen], self.sources[chosen], self.held_out[chosen]
        )

    @property
    def judged(self) -> "OperatorTable":
        """The hold-out, or all rows where the table has none."""
        return self.take(self.held_out) if self.held_out.any() else self

    def of_sources(self, names: Sequence[str]) -> "OperatorTable":
        """Return the rows of these sources; of all where none is named.

        Raises UserActionError BAD_TABLE for an unknown name.
        """
        unknown = sorted(set(names) - set(self.sources.tolist()))
        if unknown:
            known = ", ".join(sorted(set(self.sources.tolist())))
            raise bad_table(f"it has no source {', '.join(unknown)}; it has {known}")
        return self.take(np.isin(self.sources, names)) if names else self

    def check_both_classes(self) -> None:
        """Raise UserActionError ONE_CLASS unless there are benign and malicious rows."""
        malicious = int(self.labels.sum())
        for kind, count in (("malicious", malicious), ("benign", len(self) - malicious)):
            if not count:
                raise UserActionError(
                    "ONE_CLASS",
                    f"The table has no {kind} rows: a model would learn to give one answer always.",
                    "Add rows of the other sort.",
                )

    def sources_of_one_class(self) -> tuple[str, ...]:
        """Return the sources whose rows are all benign or all malicious."""
        return tuple(
            name
            for name in sorted(set(self.sources.tolist()))
            if len(set(self.labels[self.sources == name].tolist())) == 1
        )

    def shared_headers(self) -> int:
        """Return how many hold-out rows have the header of a training row, CheckSum apart."""
        groups = header_groups(self.rows)
        known = set(groups[~self.held_out].tolist())
        return sum(group in known for group in groups[self.held_out].tolist())


def read_table(path: Path) -> OperatorTable:
    """Read a table. Raises UserActionError BAD_TABLE, NOT_NUMBERS."""
    rows, labels = rows_of(path)  # checks the form, and leaves out rows that no header can have
    with np.load(path, allow_pickle=False) as arrays:
        stated = arrays["X"]
        columns = {
            name: arrays[name] for name in ("split", "source", "source_names") if name in arrays
        }
    if stated.dtype.kind == "f" and (spoilt := int((~np.isfinite(stated)).any(axis=1).sum())):
        raise UserActionError(
            "NOT_NUMBERS",
            f"{spoilt} rows of the table hold values that are not numbers (NaN).",
            "Leave these rows out, or measure them again.",
        )
    if len(rows) != len(stated):
        raise bad_table(f"{len(stated) - len(rows)} of its rows are no headers of files")
    split = _column(columns, "split", len(labels))
    held_out = np.zeros(len(labels), bool) if split is None else split == 1
    return OperatorTable(rows, labels, _sources(columns, len(labels)), held_out)


def bad_table(why: str) -> UserActionError:
    """Return the error for a table that cannot be used."""
    return UserActionError(
        "BAD_TABLE",
        f"The table cannot be used: {why}.",
        "Give an .npz file with X (n, 29) and y (n).",
    )


def _sources(columns: dict[str, NDArray[Any]], count: int) -> NDArray[np.str_]:
    numbers = _column(columns, "source", count)
    if numbers is None:
        return np.full(count, ALL)
    names = columns.get("source_names")
    if names is None or numbers.dtype.kind not in "iu":
        return numbers.astype(str)
    if not ((numbers >= 0) & (numbers < len(names))).all():
        raise bad_table("source names a number that source_names does not have")
    found: NDArray[np.str_] = names.astype(str)[numbers]
    return found


def _column(columns: dict[str, NDArray[Any]], name: str, count: int) -> NDArray[Any] | None:
    column = columns.get(name)
    if column is not None and column.shape != (count,):
        raise bad_table(f"{name} must have one value for each row")
    return column
