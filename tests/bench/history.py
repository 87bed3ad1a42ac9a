"""Reads and writes tests/bench/history.jsonl: one line for each recorded run.

{"date": "2026-11-30", "commit": "1a2b3c4", "machine": {"cpu": …, "cores": 2, "python": "3.11.2"},
"keys": {"seal.job_ms": 123.4, …}}. Nothing in it identifies the machine.
"""

import json
import os
import platform
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from tests.bench.harness import Figure

FILE = Path(__file__).with_name("history.jsonl")
CPU_INFO = Path("/proc/cpuinfo")


def line(figures: Iterable[Figure]) -> str:
    """Return the line of a run that ends now."""
    machine = {"cpu": _cpu(), "cores": os.cpu_count(), "python": platform.python_version()}
    keys = {figure.key: float(f"{figure.value:.4g}") for figure in figures}
    run = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": _commit(), "machine": machine}
    return json.dumps({**run, "keys": keys}, ensure_ascii=False)


def append(text: str, file: Path = FILE) -> None:
    """Add a line at the end."""
    with file.open("a") as history:
        history.write(f"{text}\n")


def _commit() -> str:
    """Return the short hash, with "-dirty" for uncommitted changes; "" outside a clone."""
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        described = subprocess.run(
            command, cwd=FILE.parent, capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
    return described.strip()


def _cpu() -> str:
    """Return the processor's model, or its architecture if that is unknown."""
    if CPU_INFO.exists():
        for text in CPU_INFO.read_text().splitlines():
            name, _, value = text.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.machine()
