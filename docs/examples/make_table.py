"""Make a table of made-up rows that `aegis simulate` and `aegis demo --data` read.

usage: python docs/examples/make_table.py OUT.npz [--devices N] [--rows-each N] [--holdout N] [--seed S]

The rows come from the project's own generator: none of them comes from a file or a data set. Replace `generate` with your own
loader to use your own rows. The file holds three arrays:

    X      (n, 29)  header fields, in the order of agent.detector.schema.FEATURE_NAMES, whole numbers
    y      (n,)     0 benign, 1 malicious
    split  (n,)     1 for rows that no device gets; the model is judged on them

Rows of one project resemble each other, so a fair hold-out never shares a project with the training rows.
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
    parser.add_argument("--rows-each", type=int, default=50, metavar="N", help="rows for each device; default 50")
    parser.add_argument("--holdout", type=int, default=2000, metavar="N", help="rows to judge on; default 2000")
    parser.add_argument("--seed", type=int, default=7, metavar="S", help="of the rows; default 7")
    options = parser.parse_args()

    training = options.devices * options.rows_each
    # Two independent draws: no project stands on both sides, and the hold-out is the same whatever the number of devices.
    parts = [generate(np.random.default_rng((options.seed, part)), rows) for part, rows in enumerate((training, options.holdout))]
    split = np.repeat(np.array([0, 1], np.uint8), [len(part) for part in parts])
    np.savez_compressed(options.out, X=np.concatenate([part.rows for part in parts]), y=np.concatenate([part.labels for part in parts]), split=split)
    print(f"{options.out}: {training} rows for devices, {options.holdout} held out")


if __name__ == "__main__":
    main()
