"""The basic path: files scored, one training job, one seal, how fast a command answers, and what a
round leaves in the agent's memory.

Everything runs in the processes that it runs in at a desk. References are the bare floor of the
same work, measured in the same run.
"""

import asyncio
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pefile
import setuptools

from agent.detector.synthetic import generate
from agent.errors import AegisError
from agent.ipc.client import Channel, socket_path
from agent.models.bundled import bundled_model
from agent.privacy.plan import plan_local
from agent.supervisor.process_worker import ProcessWorker
from tests.bench.harness import CannotMeasure, Figure, bench, median_s
from tests.bench.process import usage
from tests.e2e.test_kill import Scene
from tests.fakes.aggregator import TASK
from tests.fakes.rounds import round_identity

LAUNCHERS = sorted(Path(setuptools.__file__).parent.glob("*.exe"))
FILES = 300
ROWS = 1000
AFTER_ROUND_S = 60
TIMEOUT_S = 120


@bench("scan.files_per_s", "extract.file_ms", unit="1/s")
def files() -> Iterator[Figure]:
    """A folder of real executables through a worker's whole life: start, parse, score, end."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(FILES):
            shutil.copy(LAUNCHERS[number % len(LAUNCHERS)], folder / f"{number}.exe")
        paths = sorted(map(str, folder.iterdir()))
        worker, model = ProcessWorker(folder), bundled_model().content
        scan = median_s(lambda: asyncio.run(worker.scan([name], model)), 3)
        extract = median_s(lambda: asyncio.run(worker.extract(paths)), 3)
        bare = median_s(lambda: [_bare(path) for path in paths], 3)
    yield Figure(
        "scan.files_per_s", FILES / scan, "1/s", FILES / bare, "pefile alone, in this process"
    )
    yield Figure(
        "extract.file_ms",
        extract / FILES * 1000,
        "ms",
        bare / FILES * 1000,
        "pefile alone, in this process",
    )


def _bare(path: str) -> None:
    pefile.PE(data=Path(path).read_bytes(), fast_load=True)


@bench("train.job_s", "seal.job_ms", unit="s")
def jobs() -> Iterator[Figure]:
    """Training from the start model on 1,000 rows, then the seal of one local round; each a process
    of its own.
    """
    made = generate(np.random.default_rng(3), ROWS)
    rows, labels = (
        made.rows[:ROWS].astype("<u8").tobytes(),
        made.labels[:ROWS].astype(np.uint8).tobytes(),
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
                worker.train(TASK, bundled_model().content, rows, labels, scratch, key)
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
    """`aegis status` of a home that is there already, no agent running."""
    with tempfile.TemporaryDirectory() as name:
        environ = {
            "PATH": os.environ["PATH"],
            "AEGIS_HOME": f"{name}/home",
            "XDG_RUNTIME_DIR": name,
            "AEGIS_POLICY": f"{name}/none",
        }
        command = [sys.executable, "-m", "agent", "status", "--json"]
        took = median_s(
            lambda: subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL), 7
        )
    return took, _started("pass")


@bench("agent.rest.rss_after_round_mib", unit="MiB", reference_name="the reach")
def after_a_round() -> tuple[float, float]:
    """An agent a minute after it trained, sealed and sent one update, read by this process."""
    with tempfile.TemporaryDirectory() as name:
        scene = Scene(Path(name))
        try:
            scene.join(f"https://127.0.0.1:{scene.port}")
            agent = subprocess.Popen(
                [sys.executable, "-m", "agent", "run"], env=scene.environ, stderr=subprocess.DEVNULL
            )
            try:
                _send_one(scene)
                time.sleep(AFTER_ROUND_S)
                return usage(agent.pid).rss_mib, 75.0
            finally:
                agent.terminate()
                agent.wait(10)
        finally:
            scene.close()


def _send_one(scene: Scene) -> None:
    socket = socket_path(Path(scene.environ["AEGIS_HOME"]), scene.environ)
    ends = time.monotonic() + TIMEOUT_S
    while not socket.exists():
        _wait(ends)
    with closing(Channel(socket)) as channel:
        while scene.updates() < 1:
            with suppress(AegisError):
                channel.call("run_now", {})
            _wait(ends)


def _wait(ends: float) -> None:
    if time.monotonic() > ends:
        raise CannotMeasure(f"no update was sent within {TIMEOUT_S} s")
    time.sleep(1)


def _started(code: str) -> float:
    return median_s(lambda: subprocess.run([sys.executable, "-c", code], check=True), 7)
