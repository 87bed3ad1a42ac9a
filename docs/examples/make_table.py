"""Make a table of made-up rows that `aegis simulate` and `aegis demo --data` read.

usage: python docs/examples/make_table.py OUT.npz [--devices N] [--rows-each N] [--holdout N]

The rows come from the project's own generator: none of them comes from a file or a data set.
Replace the calls of `generate` with your own loader to use your own rows. The file holds:

    X      (n, 29)  header fields, whole numbers, in the order of agent.detector.schema
    y      (n,)     0 benign, 1 malicious
    split  (n,)     1 for rows that no device gets; the model is judged on them

Rows of one project resemble each other, so a fair hold-out shares no project with the training
rows.
"""

import argparse
from pathlib import Path

import numpy as np

from agent.detector.synthetic import generate


def main() -> None:
    """Write the table and print its size."""
    parser = argparse.ArgumentParser(description="Make a table of made-up rows.")
    parser.add_argument("out", type=Path, metavar="OUT.npz")
    parser.add_argument("--devices", type=int, default=40, metavar="N", help="default 40")
    parser.add_argument("--rows-each", type=int, default=50, metavar="N", help="default 50")
    parser.add_argument("--holdout", type=int, default=2000, metavar="N", help="default 2000")
    parser.add_argument("--seed", type=int, default=7, metavar="S", help="default 7")
    options = parser.parse_args()

    # Two independent draws: no project stands on both sides, and the hold-out does not depend on
    # the number of devices.
    training = generate(
        np.random.default_rng((options.seed, 0)), options.devices * options.rows_each
    )
    holdout = generate(np.random.default_rng((options.seed, 1)), options.holdout)
    np.savez_compressed(
        options.out,
        X=np.concatenate([training.rows, holdout.rows]),
        y=np.concatenate([training.labels, holdout.labels]),
        split=np.repeat(np.array([0, 1], np.uint8), [len(training), len(holdout)]),
    )
    print(f"{options.out}: {len(training)} rows for devices, {len(holdout)} held out")


if __name__ == "__main__":
    main()
