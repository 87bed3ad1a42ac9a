"""With AEGIS_NOTHING_LEFT_OUT=1 (continuous integration) a run fails when it left out a test.

The one exception: tests that compare with tables of real files, which are not part of this repository, where those are absent.
"""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # a test is not a stopwatch: a busy machine must not fail it
settings.load_profile("untimed")
REAL_TABLES = Path(__file__).parents[2] / "shared"
TRAIN_LONG = {"test_checkpoint", "test_desk_whole", "test_meeting", "test_story"}
"""System tests that hold this machine's one right to train for long: they take turns instead of waiting for each other."""


def pytest_collection_modifyitems(items):
    """Groups for `--dist loadgroup`: by file, those of TRAIN_LONG together."""
    for item in items:
        if item.get_closest_marker("system"):
            item.add_marker(pytest.mark.xdist_group("train long" if item.path.stem in TRAIN_LONG else item.path.stem))


def pytest_sessionfinish(session):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("AEGIS_NOTHING_LEFT_OUT") != "1" or reporter is None or hasattr(session.config, "workerinput"):
        return
    left_out = [report for report in reporter.stats.get("skipped", []) if not _needs_absent_tables(report)]
    if left_out:
        for report in left_out:
            reporter.write_line(f"LEFT OUT: {report.nodeid}", red=True)
        reporter.write_line(f"{len(left_out)} tests were left out; here every test must run.", red=True)
        session.exitstatus = 1


def _needs_absent_tables(report):
    return not REAL_TABLES.exists() and "shared" in str(report.longrepr)
