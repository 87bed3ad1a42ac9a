"""With AEGIS_NOTHING_LEFT_OUT=1 (continuous integration) a run fails when it left out a test.

The one exception: tests that compare with tables of real files, which are not part of this
repository, where those are absent.
"""

import os
from pathlib import Path

from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

# A test is not a stopwatch: a busy machine must not fail it.
settings.register_profile("untimed", deadline=None)
settings.register_profile("few", deadline=None, max_examples=10)
"""For `make coverage`, which asks what is reached and not how often."""
settings.load_profile("untimed")
REAL_TABLES = Path(__file__).parents[2] / "shared"
TRAIN_LONG = {"test_checkpoint", "test_desk_whole", "test_join_window", "test_waiting_reasons"}
"""System tests that hold this machine's one right to train for long: they take turns instead of
waiting for each other."""


class ByFile(LoadScopeScheduling):
    """A file's tests on one worker, those of TRAIN_LONG all on one. (xdist 3.8 notes groups where
    pytest 9.2 does not look.)
    """

    def _split_scope(self, nodeid):
        file = nodeid.split("::", 1)[0]
        return "train long" if Path(file).stem in TRAIN_LONG else file


def pytest_xdist_make_scheduler(config, log):
    return ByFile(config, log) if config.getoption("dist") == "loadgroup" else None


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
