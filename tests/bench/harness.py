"""Registers, finds and runs benchmarks, and writes their figures.

A benchmark is a function in tests/bench/*.py:

    @bench("codec.encode_ms.d10k", unit="ms", reference_name="one np.add")
    def encode(): return value, reference            # or only the value

    @bench("noise.rate_per_s.sigma1", "noise.rate_per_s.sigma10", unit="1/s")
    def noise(): yield Figure("noise.rate_per_s.sigma1", value, "1/s", reference, "OpenDP 85
      k/s"); ...

It raises CannotMeasure, with the reason, where this machine cannot measure it. `needs` names the
system programs that it runs; without one of them it is left out.
"""

import importlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class Figure(NamedTuple):
    """A measured number and the one that it is compared with, from the same run where possible."""

    key: str
    value: float
    unit: str
    reference: float | None = None
    reference_name: str = ""

    def to_json(self) -> dict[str, object]:
        """As `build/bench.json` holds it; ratio = value / reference."""
        return {**self._asdict(), "ratio": self.value / self.reference if self.reference else None}


class CannotMeasure(Exception):
    """This machine cannot measure it; the text says why."""


@dataclass(frozen=True)
class Benchmark:
    keys: tuple[str, ...]
    unit: str
    reference_name: str
    call: Callable[[], object]
    needs: tuple[str, ...] = ()

    def missing(self) -> tuple[str, ...]:
        """Return the system programs that it needs and that are not installed."""
        return tuple(program for program in self.needs if not shutil.which(program))

    def matches(self, part: str) -> bool:
        return any(part in key for key in self.keys)

    def figures(self) -> Iterator[Figure]:
        """Run it. A single value or a pair (value, reference) belongs to the one declared key."""
        if missing := self.missing():
            raise CannotMeasure(f"not installed: {' '.join(missing)}")
        result = self.call()
        if isinstance(result, Iterator):
            yield from (Figure(*item) for item in result)
            return
        value, reference = result if isinstance(result, tuple) else (result, None)
        yield Figure(self.keys[0], value, self.unit, reference, self.reference_name)


def bench(
    *keys: str, unit: str = "", reference_name: str = "", needs: tuple[str, ...] = ()
) -> Callable[[Callable[[], object]], Callable[[], object]]:
    """Mark a function as the benchmark of `keys`."""

    def mark(call: Callable[[], object]) -> Callable[[], object]:
        call.benchmark = Benchmark(keys, unit, reference_name, call, needs)
        return call

    return mark


def discover(folder: Path) -> list[Benchmark]:
    """Return every benchmark in the modules of `folder`, in the order of their names."""
    found = []
    for path in sorted(folder.glob("*.py")):
        if path.stem not in ("__main__", "harness") and not path.stem.startswith("test_"):
            module = importlib.import_module(f"tests.bench.{path.stem}")
            marked = [
                value.benchmark for value in vars(module).values() if hasattr(value, "benchmark")
            ]
            found += [
                benchmark for benchmark in marked if benchmark.call.__module__ == module.__name__
            ]
    return found


def write(figures: list[Figure], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps([figure.to_json() for figure in figures], indent=1, ensure_ascii=False) + "\n"
    )


def median_s(call: Callable[[], object], rounds: int = 9) -> float:
    """Return the median elapsed time of a call in seconds, after one call to warm up."""
    call()
    took = []
    for _ in range(rounds):
        started = time.perf_counter()
        call()
        took.append(time.perf_counter() - started)
    return sorted(took)[len(took) // 2]
