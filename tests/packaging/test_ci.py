""".ci/run runs every part, skips no test, and ends with the first part that fails."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.fakes.timeouts import TIMEOUT_S

ROOT = Path(__file__).parents[2]
PARTS = ["test", "shape", "coverage", "test-system"]


@pytest.fixture
def run(tmp_path):
    """Run a copy with a `make` that records its calls and, on request, fails or hangs."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
    make = tmp_path / "bin/make"
    make.parent.mkdir()
    make.write_text(
        '#!/bin/sh\necho "$1 $AEGIS_NOTHING_LEFT_OUT" >>calls\n'
        '[ "$1" != "$HANGING_PART" ] || exec sleep 600\n[ "$1" != "$FAILING_PART" ]\n'
    )
    make.chmod(0o755)

    def run(failing_part="", hanging_part="", limit_s="1200"):
        environ = {
            **os.environ,
            "PATH": f"{make.parent}{os.pathsep}{os.environ['PATH']}",
            "FAILING_PART": failing_part,
            "HANGING_PART": hanging_part,
            "CI_LIMIT_S": limit_s,
        }
        command = [str(tmp_path / ".ci/run")]
        result = subprocess.run(
            command, env=environ, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        calls = tmp_path / "calls"
        return result, calls.read_text().splitlines() if calls.exists() else []

    return run


def test_every_part_runs_and_no_test_may_be_left_out(run):
    result, calls = run()
    assert result.returncode == 0, result.stderr
    assert calls == [f"{part} 1" for part in PARTS]
    assert result.stdout.splitlines()[-1].startswith("passed in ")


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_fails_ends_the_run(run, part):
    result, calls = run(failing_part=part)
    assert result.returncode != 0
    assert calls[-1] == f"{part} 1"
    assert f"make {part} failed" in result.stderr
    assert "passed" not in result.stdout


def test_a_part_that_hangs_is_stopped_when_the_time_is_over(run):
    result, calls = run(hanging_part="shape", limit_s="2")
    assert result.returncode != 0
    assert calls == ["test 1", "shape 1"]
    assert "make shape was stopped: 2 s are over" in result.stderr


def test_a_run_whose_time_is_over_starts_no_further_part(run):
    result, calls = run(limit_s="0")
    assert result.returncode != 0
    assert calls == []
    assert "0 s are over" in result.stderr


def test_every_part_is_a_target_of_the_makefile():
    targets = (ROOT / "Makefile").read_text()
    assert all(f"\n{part}:" in targets for part in PARTS)
