"""A round of secure aggregation against a running aggregator: real processes, real TLS, and every
device with its own state machine and certificate.

The devices are threads of several processes, because Python runs the threads of one process one
after the other. n: devices in the round.
"""

import contextlib
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

from tests.bench.harness import CannotMeasure, Figure, bench
from tests.fakes.group_devices import GroupDevice, run_round
from tests.fakes.server_process import ServerProcess

SIZES = {10: 2, 40: 2, 100: 2, 500: 1}
"""Numbers of devices, and the rounds of which the best counts."""
SHARE = 64
"""The most devices of a process; there are at least PROCESSES."""
PROCESSES = 2
GROUP_MAX, GROUP_FLOOR = 128, 64
"""More devices than GROUP_MAX form several groups."""
TARGET_S = {100: 8.0, 500: 40.0}
FLOWER_10_S = 10.8
LIMIT_S = 300.0


@bench(
    *(f"round.loopback_s.n{size}" for size in SIZES),
    *(f"round.server_cpu_ms_per_device.n{size}" for size in SIZES),
    unit="s",
)
def loopback() -> Iterator[Figure]:
    for size, count in SIZES.items():
        seconds, cpu_ms = _measured(size, count)
        reference = (
            (FLOWER_10_S, "Flower deployment, quoted")
            if size == 10
            else (TARGET_S.get(size), "the target" if size in TARGET_S else "")
        )
        yield Figure(f"round.loopback_s.n{size}", round(seconds, 2), "s", *reference)
        yield Figure(
            f"round.server_cpu_ms_per_device.n{size}", round(cpu_ms, 1), "ms", 10.0, "limit"
        )


def _measured(size: int, rounds: int) -> tuple[float, float]:
    """Return the best seconds from the last device's `ready` to the published model, and the best
    processor time of the aggregator per device in ms.
    """
    times = ("--lead-seconds", "0", "--join-seconds", "300", "--phase-seconds", "300")
    floor, most = (size, size) if size <= GROUP_MAX else (GROUP_FLOOR, GROUP_MAX)
    options = (
        "--group-floor",
        str(floor),
        "--ready-target",
        str(size),
        "--group-max",
        str(most),
        "--epsilon",
        "300",
        "--rounds-planned",
        "1",
        "--fast-spending",
    )
    best = (float("inf"), float("inf"))
    with (
        tempfile.TemporaryDirectory() as folder,
        ServerProcess(Path(folder), *times, *options) as server,
    ):
        token = server.token(size + 1)
        with _devices(server, token, size) as shares:
            watcher = server.enrol(token).client
            for version in range(1, 1 + rounds):
                _all(shares, "ready")
                cpu, began = server.cpu_s(), time.monotonic()
                _all(shares, "run_round")
                while watcher.offer().model_version <= version:
                    if time.monotonic() - began > LIMIT_S:
                        raise CannotMeasure("the round published no model")
                    time.sleep(0.1)
                best = min(best, (time.monotonic() - began, (server.cpu_s() - cpu) / size * 1000))
            watcher.close()
    return best


@contextlib.contextmanager
def _devices(server: ServerProcess, token: str, size: int) -> Iterator[list[Connection]]:
    """Start processes that run `size` devices between them; yield a pipe to each process."""
    context = multiprocessing.get_context("fork")
    count = max(PROCESSES, -(-size // SHARE))
    started, shares = [], []
    for number in range(count):
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_share,
            args=(server, token, size // count + (number < size % count), theirs),
            daemon=True,
        )
        process.start()
        theirs.close()
        started.append(process)
        shares.append(ours)
    try:
        yield shares
    finally:
        for ours in shares:
            ours.close()
        for process in started:
            process.join(10)


def _share(server: ServerProcess, token: str, count: int, pipe: Connection) -> None:
    """Enrol `count` devices and run their rounds until the other end of the pipe is closed."""
    devices = [GroupDevice(server.enrol(token), 0.01) for _ in range(count)]
    with contextlib.suppress(EOFError, OSError):
        while True:
            if pipe.recv() == "ready":
                with ThreadPoolExecutor(8) as pool:
                    list(pool.map(GroupDevice.report_ready, devices))
            else:
                run_round(devices, devices[0].poll_until_offered())
            pipe.send([device.failure for device in devices if device.failure])


def _all(shares: list[Connection], word: str) -> None:
    """Have all devices do the same thing at the same time.

    Raises CannotMeasure if one fails or takes too long.
    """
    for ours in shares:
        ours.send(word)
    for ours in shares:
        if not ours.poll(LIMIT_S):
            raise CannotMeasure("devices take too long")
        if failures := ours.recv():
            raise CannotMeasure(f"devices failed: {failures[:3]}")
