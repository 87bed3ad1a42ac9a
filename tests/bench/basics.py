"""The basic path: files scored, one training job, one seal, how fast a command answers, and what a
round leaves in the agent's memory.

Everything runs in the processes of a real device. The references are the bare work alone, measured
in the same run.
"""

import asyncio
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import numpy as np

from agent.detector.synthetic import generate
from agent.errors import AegisError
from agent.ipc.client import Channel
from agent.ipc.places import socket_of
from agent.models.bundled import bundled_model
from agent.paths import Home
from agent.privacy.plan import plan_local
from agent.supervisor.process_worker import ProcessWorker
from tests.bench.harness import CannotMeasure, Figure, bench, median_s
from tests.bench.process import usage
from tests.fakes.aggregator import TASK
from tests.fakes.installation import Installation
from tests.fakes.rounds import round_identity

ROWS = 1000
AFTER_ROUND_S = 60
TIMEOUT_S = 120


@bench("train.job_s", "seal.job_ms", unit="s")
def jobs() -> Iterator[Figure]:
    """Training from the bundled model on 1,000 rows, then the seal of one local round, each in a
    process of its own.
    """
    table = generate(np.random.default_rng(3), ROWS)
    rows, labels = (
        table.rows[:ROWS].astype("<u8").tobytes(),
        table.labels[:ROWS].astype(np.uint8).tobytes(),
    )
    config = plan_local(TASK, round_identity(), rho_units_per_round=2**40 // 200)
    with tempfile.TemporaryDirectory() as name:
        worker, scratch, key = (
            ProcessWorker(Path(name)),
            str(Path(name, "update")),
            secrets.token_bytes(32),
        )
        train = median_s(
            lambda: asyncio.run(
                worker.train(TASK, bundled_model().files, rows, labels, scratch, key)
            ),
            3,
        )
        seal = median_s(
            lambda: asyncio.run(worker.seal(config, scratch, key, secrets.token_hex(16))), 3
        )
    yield Figure(
        "train.job_s",
        train,
        "s",
        _started("import sklearn.linear_model"),
        "python that only loads scikit-learn",
    )
    yield Figure(
        "seal.job_ms",
        seal * 1000,
        "ms",
        _started("import numpy") * 1000,
        "python that only loads numpy",
    )


@bench("start.status_s", unit="s", reference_name="python that does nothing")
def status() -> tuple[float, float]:
    """`aegis status` in an existing home, without a running agent."""
    with tempfile.TemporaryDirectory() as name:
        environ = {
            "PATH": os.environ["PATH"],
            "AEGIS_HOME": f"{name}/home",
            "XDG_RUNTIME_DIR": name,
        }
        command = [sys.executable, "-m", "agent", "status", "--json"]
        took = median_s(
            lambda: subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL), 7
        )
    return took, _started("pass")


@bench("agent.rest.rss_after_round_mib", unit="MiB", reference_name="the target")
def after_a_round() -> tuple[float, float]:
    """An agent a minute after it has trained, sealed and sent one update."""
    with tempfile.TemporaryDirectory() as name:
        installation = Installation(Path(name))
        try:
            installation.join(f"https://127.0.0.1:{installation.port}")
            agent = subprocess.Popen(
                [sys.executable, "-m", "agent", "run"],
                env=installation.environ,
                stderr=subprocess.DEVNULL,
            )
            try:
                _send_one(installation)
                time.sleep(AFTER_ROUND_S)
                return usage(agent.pid).rss_mib, 75.0
            finally:
                agent.terminate()
                agent.wait(10)
        finally:
            installation.close()


def _send_one(installation: Installation) -> None:
    socket = socket_of(Home(Path(installation.environ["AEGIS_HOME"])))
    ends = time.monotonic() + TIMEOUT_S
    while not socket.exists():
        _wait(ends)
    with closing(Channel(socket)) as channel:
        while installation.updates() < 1:
            with suppress(AegisError):
                channel.call("run_now", {})
            _wait(ends)


def _wait(ends: float) -> None:
    if time.monotonic() > ends:
        raise CannotMeasure(f"no update was sent within {TIMEOUT_S} s")
    time.sleep(1)


def _started(code: str) -> float:
    return median_s(lambda: subprocess.run([sys.executable, "-c", code], check=True), 7)
