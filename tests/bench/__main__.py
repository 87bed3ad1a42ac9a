"""`python -m tests.bench [-k PART-OF-A-KEY]`: run the benchmarks, print a table, write
build/bench.json.
"""

import argparse
import sys
import time
import traceback
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.harness import Benchmark, CannotMeasure, Figure, discover, write

HERE = Path(__file__).parent
RESULT = HERE.parent.parent / "build" / "bench.json"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description="Run the benchmarks.")
    parser.add_argument("-k", default="", metavar="PART", help="only keys that contain this")
    parser.add_argument("--list", action="store_true", help="print the keys and end")
    options = parser.parse_args()
    chosen = [benchmark for benchmark in discover(HERE) if benchmark.matches(options.k)]
    if options.list:
        print("\n".join(key for benchmark in chosen for key in benchmark.keys))
        return 0
    if not chosen:
        print(
            f"no benchmark has {options.k!r} in its key; python -m tests.bench --list shows them",
            file=sys.stderr,
        )
        return 2
    results = [run(benchmark) for benchmark in chosen]
    figures = [figure for measured, _ in results for figure in measured if options.k in figure.key]
    Console(width=None if sys.stdout.isatty() else 140).print(table(figures))
    write(figures, RESULT)
    print(
        "written to"
        f" {RESULT.relative_to(Path.cwd()) if RESULT.is_relative_to(Path.cwd()) else RESULT}"
    )
    return int(any(failed for _, failed in results))


def run(benchmark: Benchmark) -> tuple[list[Figure], bool]:
    """Figures of one benchmark and whether it failed; one that fails leaves the others alone."""
    started, measured = time.perf_counter(), []
    try:
        measured.extend(benchmark.figures())
    except CannotMeasure as reason:
        print(f"{benchmark.keys[0]}: not measured: {reason}", file=sys.stderr)
    except Exception:
        traceback.print_exc()
        print(f"{benchmark.keys[0]}: FAILED", file=sys.stderr)
        return measured, True
    print(f"{benchmark.keys[0]}: {time.perf_counter() - started:.1f} s", file=sys.stderr)
    return measured, False


def table(figures: list[Figure]) -> Table:
    made = Table("key", "value", "unit", "reference", "ratio", "compared with")
    made.columns[0].no_wrap = True
    for figure in figures:
        ratio = figure.to_json()["ratio"]
        made.add_row(
            figure.key,
            f"{figure.value:.4g}",
            figure.unit,
            "" if figure.reference is None else f"{figure.reference:.4g}",
            "" if ratio is None else f"{ratio:.3g}",
            figure.reference_name,
        )
    return made


if __name__ == "__main__":
    sys.exit(main())
