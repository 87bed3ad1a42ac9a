"""Continuous integration fails if a test was skipped (tests/conftest.py)."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(folder, strict, *options):
    (folder / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    (folder / "test_it.py").write_text(
        "import pytest\ndef test_a(): assert True\n@pytest.mark.skip(reason='why')\ndef test_b():"
        " pass\n"
    )
    environ = {
        **os.environ,
        "AEGIS_NOTHING_LEFT_OUT": strict,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "xdist",
        "--rootdir",
        str(folder),
        *options,
        "test_it.py",
    ]
    return subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_left_out_test_fails_the_run(tmp_path):
    result = run(tmp_path, "1", "-n", "1")
    assert result.returncode == 1
    assert "1 tests were left out" in result.stdout


def test_outside_ci_a_left_out_test_is_only_reported(tmp_path):
    assert run(tmp_path, "").returncode == 0
