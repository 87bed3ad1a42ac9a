"""A round of secure aggregation against a running aggregator: real processes, real TLS, every device with its own machine and certificate.

The devices run as threads of this process; on a machine with two cores they are half of the time. n: devices in the round.
"""

import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.bench.harness import CannotMeasure, Figure, bench
from tests.fakes.group_devices import GroupDevice, play
from tests.fakes.server_process import ServerProcess

SIZES = {10: 2, 40: 2, 100: 2, 500: 1}
"""Devices, and rounds of which the best counts."""
GROUP_MAX, GROUP_FLOOR = 128, 64
"""Of more devices than that several groups are made."""
REACH_S = {100: 8.0, 500: 40.0}
FLOWER_10_S = 10.8


@bench(*(f"round.loopback_s.n{size}" for size in SIZES), *(f"round.server_cpu_ms_per_device.n{size}" for size in SIZES), unit="s")
def loopback() -> Iterator[Figure]:
    for size, count in SIZES.items():
        seconds, cpu_ms = _measured(size, count)
        reference = (
            (FLOWER_10_S, "Flower deployment, quoted") if size == 10 else (REACH_S.get(size), "the reach" if size in REACH_S else "")
        )
        yield Figure(f"round.loopback_s.n{size}", round(seconds, 2), "s", *reference)
        yield Figure(f"round.server_cpu_ms_per_device.n{size}", round(cpu_ms, 1), "ms", 10.0, "limit")


def _measured(size: int, rounds: int) -> tuple[float, float]:
    """Seconds from the last device's `ready` to the published model, and the aggregator's processor time per device in ms: the best."""
    times = ("--lead-seconds", "0", "--join-seconds", "300", "--phase-seconds", "300")
    floor, most = (size, size) if size <= GROUP_MAX else (GROUP_FLOOR, GROUP_MAX)
    options = ("--group-floor", str(floor), "--ready-target", str(size), "--group-max", str(most), "--epsilon", "300")
    best = (float("inf"), float("inf"))
    with tempfile.TemporaryDirectory() as folder, ServerProcess(Path(folder), *times, *options, "--rounds-planned", "1") as server:
        token = server.token(size)
        devices = [GroupDevice(server.enrol(token), 0.01) for _ in range(size)]
        for version in range(1, 1 + rounds):
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(GroupDevice.say_ready, devices))
            cpu, began = server.cpu_s(), time.monotonic()
            play(devices, devices[0].until_offered())
            while devices[0].enrolled.client.offer().model_version <= version:
                if time.monotonic() - began > 300:
                    raise CannotMeasure("no model came of the round")
                time.sleep(0.1)
            best = min(best, (time.monotonic() - began, (server.cpu_s() - cpu) / size * 1000))
    return best
