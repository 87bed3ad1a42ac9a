"""Run by an interpreter that has opendp: its discrete Gaussian as a histogram and as a rate. JSON
on stdout.

    python opendp_gaussian.py COUNT SIGMA...    → {"version", "sigmas": {SIGMA: {"rate", "least",
                                                "counts"}}}

tests/agent/privacy/opendp.json is its recorded output for 200000 draws of σ = 1, 3, 10, 100.
"""

import json
import sys
import time
from collections import Counter
from importlib.metadata import version

import opendp.prelude as dp


def main() -> None:
    dp.enable_features("contrib")
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T=float)
    figures = {}
    for sigma in sys.argv[2:]:
        measure = space >> dp.m.then_gaussian(scale=float(sigma))
        measure([0] * 100)
        started = time.perf_counter()
        drawn = Counter(measure([0] * int(sys.argv[1])))
        took = time.perf_counter() - started
        least = min(drawn)
        counts = [drawn[value] for value in range(least, max(drawn) + 1)]
        figures[sigma] = {"rate": int(sys.argv[1]) / took, "least": least, "counts": counts}
    print(json.dumps({"version": version("opendp"), "sigmas": figures}))


if __name__ == "__main__":
    main()
