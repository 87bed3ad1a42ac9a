"""The tracker announces every change of what a cycle is doing."""

import pytest

from agent.rounds.activity import Activity, ActivityTracker


@pytest.fixture
def announced():
    """The activity at each announcement."""
    return []


@pytest.fixture
def tracker(announced):
    tracker = ActivityTracker(lambda: announced.append(tracker.current))
    return tracker


def test_nothing_is_under_way_at_first(tracker, announced):
    assert (tracker.is_training, tracker.is_sending, announced) == (False, False, [])


def test_training_then_sending_then_nothing_is_announced(tracker, announced):
    tracker.train("Training on 20 local rows")
    assert (tracker.is_training, tracker.is_sending) == (True, False)
    tracker.send("Sending the update")
    assert (tracker.is_training, tracker.is_sending) == (False, True)
    tracker.finish()
    assert (tracker.is_training, tracker.is_sending) == (False, False)
    assert announced == [
        Activity("training", "Training on 20 local rows"),
        Activity("sending", "Sending the update"),
        Activity(),
    ]


@pytest.mark.parametrize(
    ("done", "total", "progress"), [(0, 8, 0.0), (2, 8, 0.25), (8, 8, 1.0), (9, 8, 1.0)]
)
def test_progress_is_a_share_of_at_most_one(tracker, done, total, progress):
    tracker.train("Training")
    tracker.report_progress(done, total)
    assert tracker.current == Activity("training", "Training", progress)


def test_the_same_progress_is_announced_once(tracker, announced):
    tracker.train("Training")
    for _ in range(3):
        tracker.report_progress(1, 4)
    assert len(announced) == 2


@pytest.mark.parametrize("total", [0, -1])
def test_progress_out_of_nothing_is_ignored(tracker, announced, total):
    tracker.train("Training")
    tracker.report_progress(1, total)
    assert announced == [Activity("training", "Training")]


def test_progress_that_arrives_after_the_end_is_ignored(tracker, announced):
    tracker.train("Training")
    tracker.finish()
    tracker.report_progress(1, 4)
    assert tracker.current == Activity()
    assert len(announced) == 2


def test_the_next_activity_begins_without_progress_and_not_suspended(tracker):
    tracker.train("Training")
    tracker.report_progress(1, 4)
    tracker.is_suspended = True
    tracker.send("Sending")
    assert (tracker.current.progress, tracker.is_suspended) == (None, False)
