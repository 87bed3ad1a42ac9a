"""A process that governs one worker and does nothing else: `python -m tests.bench.governed LOAD
PERCENT`. It ends with its stdin.

It prints the worker's pid. Another process measures: it reads the worker's use, and this one's,
from the kernel.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from agent.protocol.jobs import Job
from agent.sandbox.environment import environment
from agent.supervisor.supervision import Supervision
from agent.supervisor.watchdog import Caps

MEMORY = 2**30
_NUMPY = (
    "import numpy\nmatrix = numpy.random.default_rng(1).random((256, 256))\n"
    "while True: matrix @ matrix"
)
_BURSTS = (
    "import os, tempfile, time\nfile = tempfile.TemporaryFile()\nwhile True:\n    until ="
    " time.process_time() + 0.03\n    while time.process_time() < until: sum(range(500))\n   "
    " file.seek(0); file.write(bytes(2**18)); file.flush(); os.fsync(file.fileno());"
    " time.sleep(0.02)"
)
LOADS = {
    "numpy": (_NUMPY, "1"),
    "two_threads": (_NUMPY, "2"),
    "bursts": (_BURSTS, "1"),
    "training": ("", "1"),
}


def main(load: str, percent: int) -> None:
    supervision = Supervision(Caps(percent, MEMORY, written_bytes=2**40))
    if load == "training":
        asyncio.run(_train(supervision))
        return
    program, threads = LOADS[load]
    surroundings = {
        **environment(os.environ),
        "OPENBLAS_NUM_THREADS": threads,
        "OMP_NUM_THREADS": threads,
    }
    command = [sys.executable, "-c", program]
    child = subprocess.Popen(command, env=surroundings, start_new_session=True)
    governor = supervision.watch(child.pid, Job.TRAIN, MEMORY >> 20)
    _print_pid(child.pid)
    sys.stdin.read()
    governor.close()
    child.wait()


async def _train(supervision: Supervision) -> None:
    """The product's own training job, on generated rows."""
    import numpy as np

    from agent.protocol.jobs import ModelFiles
    from agent.protocol.messages import Mode
    from agent.supervisor.process_worker import ProcessWorker
    from server_stub.config.settings import default_task
    from tests.fakes.aggregator import safetensors

    task = replace(default_task(Mode.LOCAL), train_steps=1000)
    count = 20_000
    rows = np.random.default_rng(1).integers(0, 2, (count, 29)).astype("<u8").tobytes()
    labels = bytes(number % 2 for number in range(count))
    with tempfile.TemporaryDirectory() as folder:
        worker = ProcessWorker(Path(folder), supervision)
        job = asyncio.create_task(
            worker.train(
                task,
                ModelFiles(safetensors([0.0] * 116)),
                rows,
                labels,
                f"{folder}/update",
                os.urandom(32),
            )
        )
        while not (children := _children()):
            await asyncio.sleep(0.01)
        _print_pid(children[0])
        ends = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        await asyncio.wait({job, ends}, return_when=asyncio.FIRST_COMPLETED)
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)


def _children() -> list[int]:
    return [
        int(word)
        for task in Path("/proc/self/task").iterdir()
        for word in (task / "children").read_text().split()
    ]


def _print_pid(pid: int) -> None:
    print(pid, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
