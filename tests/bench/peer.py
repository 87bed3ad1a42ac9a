"""Runs other implementations for comparison, with the interpreter that AEGIS_PEER_PYTHON names.

Without one, the benchmarks quote published figures.

python -m venv peers && peers/bin/pip install flwr opendp
AEGIS_PEER_PYTHON=peers/bin/python make bench K=secagg
"""

import json
import os
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent / "peers"
DEADLINE_S = 1800


@lru_cache
def ask(script: str, *arguments: str) -> dict[str, Any] | None:
    """Return what a script in tests/bench/peers prints; None if no interpreter is named.

    Raises CalledProcessError if the script fails.
    """
    python = os.environ.get("AEGIS_PEER_PYTHON")
    if not python:
        return None
    command = [python, str(HERE / f"{script}.py"), *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=DEADLINE_S)
    return json.loads(done.stdout.splitlines()[-1])
