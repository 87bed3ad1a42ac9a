"""`python -m tests.bench [-k PART-OF-A-KEY] [--record]`: run the benchmarks, print a table, write
build/bench.json; with --record append the figures to tests/bench/history.jsonl.

A benchmark whose system programs are not installed is left out, and the last lines name it.
"""

import argparse
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench import history
from tests.bench.harness import Benchmark, CannotMeasure, Figure, discover, write

HERE = Path(__file__).parent
RESULT = HERE.parent.parent / "build" / "bench.json"


def main(arguments: Sequence[str] | None = None, result: Path = RESULT) -> int:
    """Return the exit code: 0, 1 if a benchmark failed, 2 if no key matches."""
    parser = argparse.ArgumentParser(prog="make bench", description="Run the benchmarks.")
    parser.add_argument("-k", default="", metavar="PART", help="only keys that contain this")
    parser.add_argument("--list", action="store_true", help="print the keys and end")
    parser.add_argument(
        "--missing", action="store_true", help="print the missing system programs and end"
    )
    parser.add_argument("--record", action="store_true", help=f"append to {shown(history.FILE)}")
    options = parser.parse_args(arguments)
    chosen = [benchmark for benchmark in discover(HERE) if benchmark.matches(options.k)]
    if options.list:
        print("\n".join(key for benchmark in chosen for key in benchmark.keys))
        return 0
    if options.missing:
        return print_missing(chosen)
    if not chosen:
        print(
            f"no benchmark has {options.k!r} in its key; python -m tests.bench --list shows them",
            file=sys.stderr,
        )
        return 2
    outcomes = [run(benchmark) for benchmark in chosen]
    figures = [
        figure for outcome in outcomes for figure in outcome.figures if options.k in figure.key
    ]
    Console(width=None if sys.stdout.isatty() else 140).print(table(figures))
    write(figures, result)
    print(f"written to {shown(result)}")
    for benchmark, outcome in zip(chosen, outcomes, strict=True):
        if outcome.left_out:
            print(f"left out: {', '.join(benchmark.keys)}: {outcome.left_out}")
    record(history.line(figures), append=options.record)
    return int(any(outcome.has_failed for outcome in outcomes))


def print_missing(benchmarks: list[Benchmark]) -> int:
    """Print the system programs that are missing; 1 if there are any."""
    programs = sorted({program for one in benchmarks for program in one.missing()})
    if programs:
        print(f"not installed: {' '.join(programs)}", file=sys.stderr)
    return int(bool(programs))


def record(line: str, *, append: bool) -> None:
    """Append a line to the history, or print it."""
    if append:
        history.append(line)
        print(f"appended to {shown(history.FILE)}")
    else:
        print(f"for {shown(history.FILE)} (--record appends it):\n{line}")


def shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


@dataclass(frozen=True)
class Outcome:
    figures: list[Figure]
    left_out: str = ""
    """Why it was not measured."""
    has_failed: bool = False


def run(benchmark: Benchmark) -> Outcome:
    """Run one benchmark; one that fails leaves the others alone."""
    started, measured = time.perf_counter(), []
    try:
        measured.extend(benchmark.figures())
    except CannotMeasure as reason:
        print(f"{benchmark.keys[0]}: not measured: {reason}", file=sys.stderr)
        return Outcome(measured, left_out=str(reason))
    except Exception:
        traceback.print_exc()
        print(f"{benchmark.keys[0]}: FAILED", file=sys.stderr)
        return Outcome(measured, has_failed=True)
    print(f"{benchmark.keys[0]}: {time.perf_counter() - started:.1f} s", file=sys.stderr)
    return Outcome(measured)


def table(figures: list[Figure]) -> Table:
    result = Table("key", "value", "unit", "reference", "ratio", "compared with")
    result.columns[0].no_wrap = True
    for figure in figures:
        ratio = figure.to_json()["ratio"]
        result.add_row(
            figure.key,
            f"{figure.value:.4g}",
            figure.unit,
            "" if figure.reference is None else f"{figure.reference:.4g}",
            "" if ratio is None else f"{ratio:.3g}",
            figure.reference_name,
        )
    return result


if __name__ == "__main__":
    sys.exit(main())
