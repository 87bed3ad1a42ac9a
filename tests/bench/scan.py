"""What a scan costs: files a second on one core, one file from the command line, memory, and how
many bytes of a file are read.

The references read the same files in the same run: pefile, and lief where it is installed. Both
are told to read headers only.
"""

import asyncio
import compileall
import importlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pefile

import agent
from agent.models.bundled import bundled_model
from agent.supervisor.early_child import worker_command
from agent.supervisor.process_worker import ProcessWorker
from agent.worker.features import read_features
from tests.bench.harness import Figure, bench, median_s
from tests.fakes.installation import PROGRAMS

FILES = 4000
FEW_FILES = 400
"""For the references, which take a millisecond a file."""
LARGE_SCAN_FILES = 20_000
MIB = 2**20


def _folder(parent: str, count: int) -> list[str]:
    """Make links to real executables, so that the disk does not count."""
    folder = Path(parent, "programs")
    folder.mkdir()
    sources = [Path(parent, path.name) for path in PROGRAMS]
    for source, program in zip(sources, PROGRAMS, strict=True):
        source.write_bytes(program.read_bytes())
    for number in range(count):
        os.link(sources[number % len(sources)], folder / f"{number:05}.exe")
    return sorted(map(str, folder.iterdir()))


def _cpu_per_s(call: Callable[[str], object], paths: list[str]) -> float:
    """Files in a second of processor time, in the best of three runs: other programs only slow."""
    best = 0.0
    for _ in range(3):
        started = time.process_time()
        for path in paths:
            call(path)
        best = max(best, len(paths) / (time.process_time() - started))
    return best


def _pefile(path: str) -> None:
    # From bytes: pefile takes thirty times as long for a file that it maps itself.
    pefile.PE(data=Path(path).read_bytes(), fast_load=True)


def _lief() -> Callable[[str], object] | None:
    """Return lief's parser for headers, None where it is not installed."""
    try:
        lief = importlib.import_module("lief")
    except ImportError:
        return None
    config = lief.PE.ParserConfig()
    for name in ("parse_exports", "parse_imports", "parse_rsrc", "parse_reloc", "parse_signature"):
        setattr(config, name, False)
    return lambda path: lief.PE.parse(path, config)


@bench("scan.files_per_s", "scan.files_per_s.beside_lief", unit="1/s")
def extraction() -> Iterator[Figure]:
    """The worker's own reading, warm, on one core: files in a second of processor time."""
    with tempfile.TemporaryDirectory() as name:
        paths = _folder(name, FILES)
        ours = _cpu_per_s(read_features, paths)
        yield Figure(
            "scan.files_per_s", ours, "1/s", _cpu_per_s(_pefile, paths[:FEW_FILES]), "pefile"
        )
        if lief := _lief():
            theirs = _cpu_per_s(lief, paths[:FEW_FILES])
            yield Figure("scan.files_per_s.beside_lief", ours, "1/s", theirs, "lief")


@bench("scan.job_files_per_s", "extract.file_ms", unit="1/s")
def jobs() -> Iterator[Figure]:
    """Whole jobs of a worker process: elapsed time with its start, its sandbox and its end."""
    with tempfile.TemporaryDirectory() as name:
        paths = _folder(name, FILES)
        worker, model = ProcessWorker(Path(name)), bundled_model().files
        scan = median_s(lambda: asyncio.run(worker.scan([f"{name}/programs"], model)), 3)
        few = paths[:FEW_FILES]
        extract = median_s(lambda: asyncio.run(worker.extract(few)), 3) / FEW_FILES
        bare = median_s(lambda: [_pefile(path) for path in few], 3) / FEW_FILES
    yield Figure(
        "scan.job_files_per_s", FILES / scan, "1/s", 1 / bare, "pefile alone, in this process"
    )
    yield Figure(
        "extract.file_ms", 1000 * extract, "ms", 1000 * bare, "pefile alone, in this process"
    )


@bench("scan.one_file_s", "scan.one_file_cpu_s", unit="s")
def one_file() -> Iterator[Figure]:
    """`aegis scan FILE` from the command line, without an agent."""
    # As installers leave it: a worker keeps no modules that it compiles.
    compileall.compile_dir(Path(agent.__file__).parent, quiet=1)
    with tempfile.TemporaryDirectory() as name:
        environ = {**os.environ, "AEGIS_HOME": f"{name}/home"}
        program = str(PROGRAMS[0])
        ours = [sys.executable, "-P", "-m", "agent", "scan", program]
        theirs = [sys.executable, "-c", f"import pefile; pefile.PE({program!r}, fast_load=True)"]
        wall, cpu = _command_s(ours, environ)
        peer_wall, peer_cpu = _command_s(theirs, environ)
    yield Figure("scan.one_file_s", wall, "s", peer_wall, "python that loads pefile, one file")
    yield Figure("scan.one_file_cpu_s", cpu, "s", peer_cpu, "python that loads pefile, one file")


def _command_s(command: list[str], environ: dict[str, str]) -> tuple[float, float]:
    """Return the median elapsed time and the median processor time of a command, children too."""
    spent = []

    def run() -> None:
        before = os.times()
        subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)
        after = os.times()
        spent.append(
            after.children_user
            + after.children_system
            - before.children_user
            - before.children_system
        )

    wall = median_s(run, 9)
    return wall, sorted(spent)[len(spent) // 2]


@bench("scan.worker_mib", unit="MiB")
def memory() -> Iterator[Figure]:
    """The most that the worker has in memory while it scans 20,000 files."""
    with tempfile.TemporaryDirectory() as name:
        _folder(name, LARGE_SCAN_FILES)
        peak = Path(name, "peak")
        # Opened before the sandbox is entered. The kernel's own peak (ru_maxrss) would count what
        # this process had when it forked.
        watched = (
            "import atexit, runpy, sys\n"
            f"peak, status = open({str(peak)!r}, 'w'), open('/proc/self/status')\n"
            "atexit.register(lambda: print(status.read(), file=peak, flush=True))\n"
            "sys.argv = ['agent.worker', *sys.argv[1:]]\n"
            "runpy.run_module('agent.worker', run_name='__main__')"
        )
        command = (*worker_command()[:2], "-c", watched)
        worker = ProcessWorker(Path(name), command=command)
        asyncio.run(worker.scan([f"{name}/programs"], bundled_model().files))
        asyncio.run(worker.stop())
        fields = dict(line.split(":", 1) for line in peak.read_text().splitlines() if line)
        kib = int(fields["VmHWM"].split()[0])
    yield Figure("scan.worker_mib", kib * 1024 / MIB, "MiB", 60.0, "what it may take")
