"""Peers in the same run, from an environment of their own whose interpreter AEGIS_PEER_PYTHON
names; without it they are quoted.

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
MOST_S = 1800


@lru_cache
def ask(script: str, *arguments: str) -> dict[str, Any] | None:
    """What a script in tests/bench/peers prints; None where no interpreter is named.

    Raises where one is named and fails.
    """
    python = os.environ.get("AEGIS_PEER_PYTHON")
    if not python:
        return None
    command = [python, str(HERE / f"{script}.py"), *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=MOST_S)
    return json.loads(done.stdout.splitlines()[-1])
