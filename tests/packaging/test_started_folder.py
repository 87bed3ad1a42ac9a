"""AegisAI runs no code from the folder in which somebody starts it: that may hold downloads."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agent.sandbox.rules import RULES
from agent.supervisor.early_child import worker_command
from agent.supervisor.process_worker import ProcessWorker
from server_stub.ca.process import running_authority
from server_stub.cli.main import main
from tests.fakes.server_commands import INIT

ROOT = Path(__file__).parents[2]
BAIT = ("agent", "server_stub", "ui", "argparse", "json", "numpy")


@pytest.fixture
def downloads(tmp_path, monkeypatch):
    """The folder in which a program starts; each bait that is imported leaves a trace."""
    folder = tmp_path / "Downloads"
    folder.mkdir()
    for name in BAIT:
        (folder / f"{name}.py").write_text(
            f"open({str(tmp_path / 'trace')!r}, 'a').write({name!r})\n"
        )
    monkeypatch.chdir(folder)
    return folder


def test_a_careless_start_takes_the_bait(downloads):
    subprocess.run(
        [sys.executable, "-m", "agent", "--version"], capture_output=True, timeout=60, check=False
    )
    assert (downloads.parent / "trace").exists()


def test_a_program_started_among_downloads_runs_none_of_them(downloads):
    escape = asyncio.run(ProcessWorker(downloads).attempt_escape(str(downloads), "none"))
    assert set(escape.rules) >= set(RULES)
    worker = subprocess.run(
        [*worker_command(), "0", "512", "100"],
        input=b"",
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert b"Traceback" not in worker.stderr
    for script in ("aegis", "aegis-server"):
        subprocess.run(
            [Path(sys.executable).with_name(script), "--help"],
            capture_output=True,
            timeout=60,
            check=True,
        )
    server = downloads.parent / "server"
    assert main([*INIT, "--home", str(server)]) == 0
    with running_authority(
        Path("../server"), server / "ca", (server / "ca" / "ca.pem").read_text()
    ) as authority:
        assert "BEGIN X509 CRL" in authority.revocations()
    assert not (downloads.parent / "trace").exists()


def test_every_start_of_a_module_excludes_the_current_folder():
    for part in ("agent", "ui", "server_stub", "packaging"):
        for path in sorted((ROOT / part).rglob("*.py")):
            before = path.read_text(encoding="utf-8").split('"-m"')[:-1]
            assert all(text.rstrip().endswith('"-P",') for text in before), path.name
    assert not re.search(
        r"python3?\S* -m (?!pip|venv|compileall)", (ROOT / "packaging/run.sh").read_text()
    )
