"""Runs a small program inside the sandbox of a worker."""

import os
import subprocess
import sys
from pathlib import Path

from tests.fakes.timeouts import TIMEOUT_S

ROOT = Path(__file__).parents[2]
PROLOGUE = """
import ctypes, os, socket, sys, threading
from agent.sandbox.access import Access
from agent.sandbox.rules import Bounds, bound, confine

libc = ctypes.CDLL(None, use_errno=True)

def refused(call):
    try:
        call()
    except OSError as error:
        return error.errno in (1, 13)
    return False

def syscall(*arguments):
    if libc.syscall(*arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")

in_force = bound(Bounds(int(sys.argv[1]), 512 * 2**20, 2**20))
"""


def run(program, *, parent_pid=None, access="Access()", **options):
    """Run a program in the sandbox of a job with this access."""
    lines = f"{PROLOGUE}in_force += confine({access})\n{program}"
    command = [sys.executable, "-c", lines, str(parent_pid or os.getpid())]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        **options,
    )
