"""docs/CONTRACT.md says what the aggregator's code does."""

from dataclasses import fields
from pathlib import Path

from server_stub.cli.setting_options import SETTING_OPTIONS
from server_stub.coordinator.statistics import round_summary
from server_stub.rounds.lifecycle import RoundPlan

SECTION = (
    (Path(__file__).parents[3] / "docs" / "CONTRACT.md")
    .read_text()
    .split("\n## Aggregator\n")[1]
    .split("\n## ")[0]
)
GROUP_FLOOR = {"min_sum": "--group-floor", "gamma_milli": "--group-floor"}
"""Settings that follow from another one's option."""


def rows_of(first):
    table = SECTION.split(f"\n| {first} |")[1].split("\n\n")[0]
    return [
        [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        for line in table.splitlines()[2:]
    ]


def test_the_settings_of_rounds_are_listed_with_their_defaults_and_options():
    options = {one.settings["dest"]: one.names[0] for one in SETTING_OPTIONS} | GROUP_FLOOR
    assert [tuple(row[:3]) for row in rows_of("key")] == [
        (field.name, str(field.default), options.get(field.name, "–"))
        for field in fields(RoundPlan)
    ]


def test_a_rounds_fields_are_listed(live):
    summary = round_summary(live.view.rounds.newest(), live.settings)
    assert ", ".join(summary) in SECTION
