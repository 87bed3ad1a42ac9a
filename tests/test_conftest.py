"""With `--dist loadfile` the files whose tests train for minutes run on the same worker."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import TRAIN_LONG
from tests.fakes.timeouts import TIMEOUT_S

CONFTEST = Path(__file__).with_name("conftest.py")
WORKER = """
import os
from pathlib import Path

def test_worker():
    path = Path(__file__)
    path.with_suffix(".worker").write_text(os.environ["PYTEST_XDIST_WORKER"])
"""


@pytest.mark.system
@pytest.mark.parametrize(
    ("names", "workers"),
    [(("test_checkpoint", "test_join_window"), 1), (("test_one", "test_other"), 2)],
)
def test_files_that_train_for_long_share_a_worker(tmp_path, names, workers):
    (tmp_path / "conftest.py").write_text(CONFTEST.read_text())
    for name in names:
        (tmp_path / f"{name}.py").write_text(WORKER)
    command = [sys.executable, "-m", "pytest", "-p", "xdist", "-n", "2", "--dist", "loadfile"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "--rootdir", str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert len({(tmp_path / f"{name}.worker").read_text() for name in names}) == workers


def test_every_file_that_trains_for_long_exists():
    assert {path.stem for path in CONFTEST.parent.rglob("test_*.py")} >= TRAIN_LONG
