"""Settings of the whole suite: hypothesis without deadlines, the training tests, skipped tests.

With AEGIS_NOTHING_LEFT_OUT=1 (continuous integration) a run fails if it skipped a test. The one
exception: tests that compare with tables of real files. These are not part of the repository and
may be absent.
"""

import os
from pathlib import Path

from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

# A test is not a stopwatch: a busy machine must not fail it.
settings.register_profile("untimed", deadline=None)
settings.register_profile("few", deadline=None, max_examples=10)
"""For `make coverage`, which asks what is reached and not how often."""
settings.load_profile("untimed")
REAL_TABLES = Path(__file__).parents[2] / "shared"
TRAIN_LONG = {"test_checkpoint", "test_desk_whole", "test_join_window"}
"""Files whose tests train for minutes. A machine trains once at a time: on two workers the tests
would only wait for each other's training slot."""


class TrainingOnOneWorker(LoadFileScheduling):
    """`--dist loadfile`, with the files of TRAIN_LONG on the same worker.

    A mark cannot say so: the groups of xdist 3.8 have no effect with pytest 9.2.
    """

    def _split_scope(self, nodeid):
        file = super()._split_scope(nodeid)
        return "train long" if Path(file).stem in TRAIN_LONG else file


def pytest_xdist_make_scheduler(config, log):
    return TrainingOnOneWorker(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_sessionfinish(session):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if (
        os.environ.get("AEGIS_NOTHING_LEFT_OUT") != "1"
        or reporter is None
        or hasattr(session.config, "workerinput")
    ):
        return
    left_out = [
        report for report in reporter.stats.get("skipped", []) if not _needs_absent_tables(report)
    ]
    if left_out:
        for report in left_out:
            reporter.write_line(f"LEFT OUT: {report.nodeid}", red=True)
        reporter.write_line(
            f"{len(left_out)} tests were left out; here every test must run.", red=True
        )
        session.exitstatus = 1


def _needs_absent_tables(report):
    return not REAL_TABLES.exists() and "shared" in str(report.longrepr)
