"""What training may take is shown in words, with or without a training under way."""

from agent.reports.work import WorkReport
from agent.rounds.activity import ActivityTracker
from agent.supervisor.governor import Measured
from agent.supervisor.worker_host import TrainingLimits


class Host:
    last_stop = None

    def __init__(self, measured):
        self._measured = measured

    def limits(self):
        return TrainingLimits(25, 700)

    def measured(self):
        return self._measured


def suspended():
    activity = ActivityTracker(lambda: None)
    activity.train("Training on 20 local rows")
    activity.is_suspended = True
    return activity


def test_without_a_training_the_report_shows_only_limits():
    view = WorkReport(Host(None), suspended()).view()
    assert (view.limit_percent, view.memory_limit_mib) == (25, 700)
    assert view.limit_text.startswith("25 % of one core")
    assert (view.measured_percent, view.measured_text, view.memory_mib) == (None, "", None)


def test_during_a_training_the_report_adds_the_measured_share(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    measured = Measured(cpu_percent=12.4, rss_bytes=3 << 20, running_s=60.0)
    view = WorkReport(Host(measured), suspended()).view()
    assert view.measured_text == "12 % of one core = 1.6 % of this computer"
    assert (view.memory_mib, view.suspended) == (3.0, True)
