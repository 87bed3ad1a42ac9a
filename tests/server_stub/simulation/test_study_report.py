"""The report has the control beside every result, and says what is not private."""

import json
from pathlib import Path

import jsonschema

from server_stub.simulation import study_report

SCHEMA = json.loads(
    (Path(__file__).parents[3] / "docs" / "schemas" / "simulate-study.schema.json").read_text()
)


def test_the_document_fits_its_schema_and_gives_every_seed(small_study):
    answer = study_report.to_json(small_study)
    jsonschema.validate(answer, SCHEMA)
    assert answer["seeds"] == [1, 2]
    assert [len(one["runs"]) for one in answer["results"]] == [2, 2, 2, 2]
    assert {one["private"] for one in answer["results"] if one["epsilon"] is None} == {False}


def test_the_text_names_the_control_the_seeds_and_the_missing_noise(small_study):
    text = study_report.text(small_study)
    for part in ("control: no devices", "2 seeds", "NOT PRIVATE", "Disjoint: ", "test floor"):
        assert part in text
    assert len({line.count("±") > 0 for line in text.splitlines() if "iid" in line}) == 1
