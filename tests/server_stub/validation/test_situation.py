"""The situation alone decides about tests and rule."""

import pytest

from server_stub.aggregation.rules import NEED_ROOT, RULES
from server_stub.validation.situation import ONE_DEVICE, ONE_IN_A_HUNDRED, Situation, defence


@pytest.mark.parametrize(
    ("rows", "groups", "rule"),
    [
        (200, 1, "anchored-mean"),
        (2000, 300, "anchored-mean"),
        (199, 8, "multi-krum"),
        (0, 300, "multi-krum"),
        (0, 7, "mean"),
        (199, 1, "mean"),
        (0, 100_000, "mean"),
    ],
)
def test_rows_and_groups_decide(rows, groups, rule):
    chosen = defence(Situation(rows, groups))
    assert chosen.rule == rule
    assert chosen.rule in RULES
    assert chosen.uses_root is (chosen.rule in NEED_ROOT)


def test_rows_of_one_class_are_no_rows():
    assert defence(Situation(5000, 3, has_both_classes=False)).rule == "mean"


def test_the_sentence_says_what_is_not_survived():
    assert defence(Situation(0, 8)).to_json()["sentence"] == ONE_IN_A_HUNDRED
    assert defence(Situation(0, 7)).sentence == ONE_DEVICE
