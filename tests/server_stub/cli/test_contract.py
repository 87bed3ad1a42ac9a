"""docs/CONTRACT.md says what the aggregator's code does."""

import argparse
from dataclasses import fields
from pathlib import Path

from server_stub.cli.main import _add_settings
from server_stub.coordinator.statistics import round_summary
from server_stub.rounds.lifecycle import RoundPlan

SECTION = (
    (Path(__file__).parents[3] / "docs" / "CONTRACT.md")
    .read_text()
    .split("\n## Aggregator\n")[1]
    .split("\n## ")[0]
)


def rows_of(first):
    table = SECTION.split(f"\n| {first} |")[1].split("\n\n")[0]
    return [
        [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        for line in table.splitlines()[2:]
    ]


def test_the_settings_of_rounds_are_listed_with_their_defaults_and_options():
    rows = rows_of("key")
    assert [(row[0], row[1]) for row in rows] == [
        (field.name, str(field.default)) for field in fields(RoundPlan)
    ]
    parser = argparse.ArgumentParser()
    _add_settings(parser)
    known = {option for action in parser._actions for option in action.option_strings}
    assert {row[2] for row in rows} - {"–"} <= known


def test_a_rounds_fields_are_listed(live):
    shown = round_summary(live.view.rounds.newest(), live.settings)
    assert ", ".join(shown) in SECTION
