"""A verdict never calls a difference better or worse that chance may have made."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server_stub.demo.evaluation import Alarms
from server_stub.demo.intervals import Interval, wilson
from server_stub.demo.verdict import Change, Outcome, compare, judge
from tests.fakes.demo_report import evaluation

UNTRAINED = evaluation(0.5, 0.0, accuracy=0.44)


def outcome(after, **changes):
    standard = {
        "before": UNTRAINED,
        "after": after,
        "without_noise": evaluation(0.92),
        "devices": 20,
        "rounds": 8,
        "mode": "secagg",
        "epsilon": 1.0,
        "are_rows_generated": True,
    }
    return Outcome(**{**standard, **changes})


@pytest.mark.parametrize(
    ("half_width", "change"),
    [(0.04, Change.UNCLEAR), (0.03, Change.UNCLEAR), (0.02, Change.BETTER)],
)
def test_from_050_to_053_is_a_success_only_where_the_interval_says_so(half_width, change):
    verdict = judge(outcome(evaluation(0.53, half_width)))
    assert verdict.change is change
    assert ("neither a success nor a failure" in verdict.summary) == (change is Change.UNCLEAR)
    assert "0.500 before, 0.530 (" in verdict.summary


def test_a_model_that_got_worse_is_called_worse():
    verdict = judge(outcome(evaluation(0.45, 0.02, accuracy=0.40)))
    assert verdict.change is Change.WORSE
    assert "got worse" in verdict.summary
    assert "accuracy fell from 44.0% to 40.0%" in verdict.summary


def test_a_better_ranking_with_the_same_accuracy_is_reported_as_both():
    same = judge(outcome(evaluation(0.7, 0.03, accuracy=0.45)))
    assert same.change is Change.BETTER
    assert "accuracy did not change by more than chance allows" in same.summary
    both = judge(outcome(evaluation(0.7, 0.03, accuracy=0.75)))
    assert "accuracy rose from 44.0% to 75.0%" in both.summary


def test_noise_has_a_price_only_where_the_intervals_show_one():
    assert "cost 0.100 of AUC" in judge(outcome(evaluation(0.82))).summary
    assert "cost nothing that these rows can show" in judge(outcome(evaluation(0.91))).summary


def with_alarms(seen, hits):
    return replace(seen, alarms=Alarms(hits / 100, wilson(hits, 100)))


@pytest.mark.parametrize(
    ("after", "control", "auc", "change", "words"),
    [
        (9, 35, 0.92, Change.BETTER, "devices made the model better"),
        (9, 12, 0.92, Change.UNCLEAR, "not clear whether the devices"),
        (30, 35, 0.92, Change.UNCLEAR, "not clear whether the devices"),
        (70, 35, 0.92, Change.WORSE, "devices made the model worse"),
        (9, 35, 0.80, Change.WORSE, "The model got worse"),
    ],
    ids=["fewer", "fewer-without-devices-too", "chance", "more", "fewer-at-the-cost-of-auc"],
)
def test_with_a_base_false_alarms_beside_the_control_decide(after, control, auc, change, words):
    before = evaluation(0.91)
    verdict = judge(
        outcome(
            with_alarms(evaluation(auc), after),
            before=with_alarms(before, 37),
            control=with_alarms(before, control),
        )
    )
    assert verdict.change is change
    assert words in verdict.summary


@given(
    st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
    st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
)
def test_overlapping_intervals_are_never_a_change_and_a_change_has_two_sides(one, other):
    before, after = Interval(*one), Interval(*other)
    change, back = compare(before, after), compare(after, before)
    assert (change is Change.UNCLEAR) == before.overlaps(after) == (back is Change.UNCLEAR)
    if change is not Change.UNCLEAR:
        assert {change, back} == {Change.BETTER, Change.WORSE}
    assert compare(before, before) is Change.UNCLEAR


def test_the_limits_depend_on_whose_rows_they_are():
    assert "real malware" in judge(outcome(evaluation(0.9))).limits
    own = judge(outcome(evaluation(0.9), are_rows_generated=False))
    assert "rows that differ from yours" in own.limits
    assert not any("--data" in step for step in own.next_steps)


def test_what_to_try_next_has_not_been_tried_yet():
    stuck = judge(outcome(evaluation(0.5, 0.1), mode="local"))
    for option in ("--devices 100", "--epsilon 4", "--mode secagg", "--rounds 16"):
        assert any(option in step for step in stuck.next_steps)
    tried = judge(outcome(evaluation(0.5, 0.1), devices=100, epsilon=8.0, rounds=16))
    assert [step.split(":")[0] for step in tried.next_steps] == ["aegis simulate --help"]
