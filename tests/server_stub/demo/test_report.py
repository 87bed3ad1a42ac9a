"""The report as JSON is what its schema says, and says how weak a protection is."""

import json
from pathlib import Path

import jsonschema
import pytest

from server_stub.demo.report import protection
from tests.fakes.demo_report import evaluation, report

SCHEMA = json.loads((Path(__file__).parents[3] / "docs/schemas/demo.schema.json").read_text())


def test_the_document_fits_its_schema_and_leaves_no_field_out():
    document = json.loads(json.dumps(report().to_json()))
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(document, SCHEMA)
    assert set(SCHEMA["required"]) == set(document)
    assert (document["rounds"], document["seconds_per_round"], document["epsilon_spent"]) == (
        2,
        1.5,
        8.0,
    )


def test_figures_and_their_intervals_stand_side_by_side():
    document = report(after=evaluation(0.83, 0.02, accuracy=0.75)).to_json()
    assert (document["auc_after"], document["auc_interval_after"]) == (0.83, [0.81, 0.85])
    assert (document["accuracy_after"], document["accuracy_interval_after"]) == (0.75, [0.73, 0.77])
    assert document["auc_interval_before"] == [0.5, 0.5]
    assert document["history"][1]["auc_interval"] == [0.89, 0.91]
    assert (document["confidence"], document["holdout_rows"]) == (0.95, 2400)


def test_the_verdict_is_in_the_document():
    assert report().to_json()["change"] == "better"
    unclear = report(after=evaluation(0.53, 0.04)).to_json()
    assert unclear["change"] == "unclear"
    assert unclear["verdict"].startswith("It is not clear")
    assert unclear["next_steps"]


@pytest.mark.parametrize(
    ("epsilon", "word"),
    [(0.99999, "strong"), (3.0, "moderate"), (7.99992, "weak")],
    ids=["1", "3", "8"],
)
def test_an_epsilon_is_described_in_words(epsilon, word):
    assert protection("local", epsilon) == f"{word} protection: local mode, ε = {round(epsilon)}"
