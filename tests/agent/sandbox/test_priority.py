"""A process is put last in line, and what cannot be lowered is not claimed."""

import subprocess
import sys

import psutil
import pytest

from agent.sandbox import priority


@pytest.fixture
def process():
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with psutil.Popen(command, stdin=subprocess.PIPE) as process:  # it ends with its stdin
        yield process


@pytest.mark.skipif(sys.platform != "linux", reason="the values are Linux's")
def test_the_lowest_priority_for_processor_and_disk(process):
    assert priority.lower(process) == ("lowest priority", "idle I/O")
    assert process.nice() == priority.NICE
    assert process.ionice().ioclass == psutil.IOPRIO_CLASS_IDLE


def test_nothing_is_claimed_for_a_process_that_has_ended(process):
    process.kill()
    process.wait()
    assert priority.lower(process) == ()


def test_a_system_without_disk_priorities_lowers_the_processor_alone(process, monkeypatch):
    monkeypatch.setattr(sys, "platform", "freebsd14")
    assert priority.lower(process) == ("lowest priority",)
