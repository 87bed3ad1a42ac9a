"""Combining rules: 100 groups of a million coordinates, on one thread, in multiples of one np.mean.

The rules run in a process of their own, because the number of a library's threads is fixed when it
is loaded.
"""

import json
import os
import subprocess
import sys

from tests.bench.harness import Figure, bench

GROUPS, COORDINATES = 100, 1_000_000
KEYS = {
    "multikrum": "multi-krum",
    "median": "coordinate-median",
    "trimmed": "trimmed-mean",
    "geomedian": "geometric-median",
    "centred": "centred-clipping",
    "anchored": "anchored-mean",
}
RUNS = 5
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@bench(
    *(f"combine.{name}.100x1m" for name in KEYS),
    *(f"combine.{name}.extra_memory.100x1m" for name in KEYS),
)
def combine():
    answer = subprocess.run(
        [sys.executable, "-m", "tests.bench.combine"],
        env={**os.environ, **ONE_THREAD},
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    measured = json.loads(answer)
    for name in KEYS:
        times, memory = measured[name]
        yield Figure(f"combine.{name}.100x1m", times, "× np.mean", 1.0, "one np.mean, same run")
        yield Figure(
            f"combine.{name}.extra_memory.100x1m", memory, "of the matrix", 0.05, "the goal"
        )


def main():
    """Print each rule's median time and its extra memory, as parts of np.mean and of the matrix."""
    import time
    import tracemalloc

    import numpy as np

    from server_stub.aggregation.groups import Facts, GroupMeans
    from server_stub.aggregation.rules import RULES

    draw = np.random.default_rng(1)
    means = draw.standard_normal((GROUPS, COORDINATES), np.float32)
    groups = GroupMeans(means, np.full(GROUPS, 32), np.ones(GROUPS))
    root = draw.standard_normal(COORDINATES)
    found: dict[str, list[list[float]]] = {name: [] for name in KEYS}
    for _ in range(RUNS):
        started = time.perf_counter()
        means.mean(axis=0)
        once = time.perf_counter() - started
        for name, rule in KEYS.items():
            started = time.perf_counter()
            RULES[rule](groups, root, Facts(1.0))
            found[name].append((time.perf_counter() - started) / once)
    medians = {name: sorted(times)[RUNS // 2] for name, times in found.items()}
    tracemalloc.start()
    extra = {}
    for name, rule in KEYS.items():
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        RULES[rule](groups, root, Facts(1.0))
        extra[name] = (tracemalloc.get_traced_memory()[1] - before) / means.nbytes
    print(json.dumps({name: (medians[name], extra[name]) for name in KEYS}))


if __name__ == "__main__":
    main()
