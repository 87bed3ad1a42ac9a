"""`python -m tests.robustness --data FILE.npz [--grid reduced|full] [--seeds N]`: attack simulated
fleets and write the tables of docs/ROBUSTNESS.md.

`--bases DIR` keeps the trained bases, to find them again. Noise comes from the operating system, so
the figures differ a little between runs.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from tests.robustness.fleet import ATTACKS, Case, Outcome, laboratory, run

PAGE = Path(__file__).parents[2] / "docs" / "ROBUSTNESS.md"
BEGIN, END = "<!-- tables: make robustness -->", "<!-- end of the tables -->"
OTHER_RULES = ("multi-krum", "geometric-median", "trimmed-mean", "mean", "ungated mean")
RULE_ATTACKS = ("scale-over", "ipm", "fill-range", "sign-flip")
HEAD = (
    "| ε | rule | attack | attackers | AUC | Z | G | family found | refused | honest ones |"
    " rejected |\n|--:|---|---|--:|--:|--:|--:|--:|--:|--:|--:|"
)


def grid(name: str) -> list[Case]:
    """The cases, each for seed 0."""
    if name == "full":
        shares, epsilons = (0.01, 0.02, 0.05), (4.0, 1.0)
    else:
        shares, epsilons = (0.05,), (4.0,)
    cases = [Case("none", 0.0, epsilon) for epsilon in (4.0, 1.0)]
    cases += [
        Case(attack, share, epsilon)
        for epsilon in epsilons
        for attack in ATTACKS
        for share in shares
    ]
    cases += [
        Case(attack, share, 4.0, rule)
        for rule in OTHER_RULES
        for attack in (("none", *RULE_ATTACKS) if name == "full" else ("none", *RULE_ATTACKS[:3]))
        for share in ((0.0,) if attack == "none" else shares[-2:])
    ]
    return cases


def main(arguments: Sequence[str] | None = None, page: Path = PAGE) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(prog="make robustness", description="Attack fleets.")
    parser.add_argument("--data", type=Path, required=True, metavar="FILE.npz")
    parser.add_argument("--grid", choices=["reduced", "full"], default="full")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--bases", type=Path, default=Path("build/robustness"))
    parser.add_argument("--no-page", action="store_true", help="print the tables only")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    for seed in range(options.seeds):
        _laboratory(options.data, seed, options.bases)
        print(f"base {seed + 1} of {options.seeds} is ready", file=sys.stderr)
    cases = [
        replace(case, seed=seed) for case in grid(options.grid) for seed in range(options.seeds)
    ]
    with ProcessPoolExecutor(options.processes) as pool:
        jobs = [pool.submit(_one, options.data, case, options.bases) for case in cases]
        found = []
        for number, (case, job) in enumerate(zip(cases, jobs, strict=True), 1):
            found.append((case, job.result()))
            print(f"{number} of {len(cases)}: {row(case, [found[-1][1]])}", file=sys.stderr)
    minutes = (time.monotonic() - began) / 60
    text = tables(found, options.seeds, minutes)
    print(text)
    if not options.no_page:
        write(text, page)
    return 0


@lru_cache(maxsize=1)
def _laboratory(data: Path, seed: int, bases: Path):
    return laboratory(data, seed, bases)


def _one(data: Path, case: Case, bases: Path) -> Outcome:
    return run(_laboratory(data, case.seed, bases), case, os.urandom(32))


def tables(found: Sequence[tuple[Case, Outcome]], seeds: int, minutes: float) -> str:
    """One line for each case, the mean over its seeds."""
    by_case: dict[Case, list[Outcome]] = {}
    for case, outcome in found:
        by_case.setdefault(replace(case, seed=0), []).append(outcome)
    lines = [row(case, outcomes) for case, outcomes in by_case.items()]
    note = (
        f"Means over {seeds} seed{'s' if seeds > 1 else ''}; {len(found)} runs in {minutes:.0f}"
        " minutes."
    )
    return "\n".join([HEAD, *lines, "", note])


def row(case: Case, outcomes: Sequence[Outcome]) -> str:
    """A case as a line of the table."""
    mean = Outcome(
        **{one.name: np.mean([getattr(o, one.name) for o in outcomes]) for one in fields(Outcome)}
    )
    return (
        f"| {case.epsilon:g} | {case.rule} | {case.attack} | {100 * case.share:g} % |"
        f" {mean.auc:.1f} | {mean.z:.0f} | {mean.g:.0f} | {mean.family:.0f} |"
        f" {mean.refused:.1f} | {mean.honest_refused:.2f} | {mean.rejected:.1f} |"
    )


def write(text: str, page: Path) -> None:
    """Put the tables between their marks in the page."""
    before, rest = page.read_text("utf-8").split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
