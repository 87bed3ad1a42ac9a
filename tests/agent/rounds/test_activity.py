"""The current activity changes only with an announcement, and late progress is ignored."""

import pytest

from agent.rounds.activity import Activity, ActivityTracker


@pytest.fixture
def announced():
    return []


@pytest.fixture
def tracker(announced):
    tracker = ActivityTracker(lambda: announced.append(tracker.current))
    return tracker


def test_each_step_of_a_cycle_is_announced(tracker, announced):
    tracker.train("Training on 20 local rows")
    assert (tracker.is_training, tracker.is_sending) == (True, False)
    tracker.send("Sending")
    assert (tracker.is_training, tracker.is_sending) == (False, True)
    tracker.finish()
    assert announced == [
        Activity("training", "Training on 20 local rows"),
        Activity("sending", "Sending"),
        Activity(),
    ]


def test_progress_is_announced_when_it_changes(tracker, announced):
    tracker.train("Training")
    for done in (1, 1, 2, 5):
        tracker.report_progress(done, 4)
    assert [activity.progress for activity in announced] == [None, 0.25, 0.5, 1.0]


@pytest.mark.parametrize("total", [0, -1])
def test_progress_of_nothing_is_ignored(tracker, announced, total):
    tracker.train("Training")
    tracker.report_progress(1, total)
    assert len(announced) == 1


def test_progress_after_the_end_is_late(tracker, announced):
    tracker.train("Training")
    tracker.finish()
    tracker.report_progress(4, 4)
    assert announced[-1] == tracker.current == Activity()


def test_a_new_activity_is_not_suspended(tracker):
    tracker.train("Training")
    tracker.is_held = True
    tracker.train("Training again")
    assert not tracker.is_held
