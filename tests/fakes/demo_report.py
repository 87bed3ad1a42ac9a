"""A report of a demonstration that ran nowhere, for tests of what is made of it."""

from dataclasses import replace

from agent.detector.model import Metrics
from server_stub.demo.evaluation import Evaluation
from server_stub.demo.intervals import Interval
from server_stub.demo.report import GroupResult, Report, RoundResult


def evaluation(auc, half_width=0.01, accuracy=0.9, fpr=0.1):
    """An evaluation with symmetric intervals."""
    return Evaluation(
        Metrics(accuracy, auc, fpr, 0.8, 0.4),
        Interval(accuracy - half_width, accuracy + half_width),
        Interval(auc - half_width, auc + half_width),
    )


def report(**changes):
    """Two rounds in local mode, unless changed."""
    first = RoundResult(
        number=1,
        evaluation=evaluation(0.9),
        epsilon=8.0,
        updates=20,
        seconds=1.5,
        noise_sd_of_sum=3.2,
        dropped={"masked": 2},
        groups=(GroupResult(3, 3, 3, 3, 3, "done", 3, 0, 1.2),),
    )
    standard = Report(
        consent="Consent: simulated.",
        data="rows",
        are_rows_generated=True,
        holdout_rows=2400,
        devices=20,
        full_agent="One of them.",
        mode="local",
        epsilon=8.0,
        delta=1e-5,
        before=evaluation(0.5, 0.0, accuracy=0.44, fpr=1.0),
        after=evaluation(0.95),
        without_noise=evaluation(0.96),
        shuffled=Metrics(0.5, 0.51, 0.4, 0.4, 0.1),
        central=evaluation(0.97),
        majority=0.52,
        rounds=(first, replace(first, number=2)),
        bytes_up=500.0,
        bytes_down=4000.0,
        epsilon_local=8.0,
        epsilon_between=19.3,
        dropped=4,
        notes=("one note",),
        files={"chart": "demo.png"},
        spending="fast",
    )
    return replace(standard, **changes)
