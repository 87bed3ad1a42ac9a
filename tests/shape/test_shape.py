"""The code keeps its shape: the goals of `python -m tests.shape`, and nothing is excused without a
reason.
"""

from pathlib import Path

from tests.shape import suite
from tests.shape.allowed import PRIVATE_READS, TESTED_ELSEWHERE
from tests.shape.figures import measure
from tests.shape.mirror import without_test
from tests.shape.source import PACKAGES, read

ROOT = Path(__file__).parents[2]


def test_every_goal_is_reached():
    assert {figure.key: figure.where for figure in measure(ROOT) if not figure.is_met} == {}


def test_every_private_read_has_its_reason():
    found = {
        read_.key for read_ in suite.private_reads(read(ROOT, ("tests",)), read(ROOT, PACKAGES))
    }
    assert found == set(PRIVATE_READS)
    assert all(PRIVATE_READS.values())


def test_a_module_that_is_tested_elsewhere_is_tested_there_for_a_reason():
    for module, (test, reason) in TESTED_ELSEWHERE.items():
        assert reason, module
        assert (ROOT / test).is_file(), module


def test_no_excuse_outlives_its_module():
    needed = without_test(read(ROOT, PACKAGES), read(ROOT, ("tests",)))
    assert [module for module in TESTED_ELSEWHERE if module not in needed] == []
