"""`python -m tests.audit [--runs N] [--seed TEXT]`: attack every case and write the table of
docs/PRIVACY.md. Exit code 1 when an attack shows more than a claim.

With `--half-noise` it attacks devices that add half the noise, to show that the attack would see
them: exit code 1 when it misses one. Nothing is written then.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from agent.protocol.messages import Mode
from agent.status import epsilon_in_words
from tests.audit.attack import Case, Entropy, Finding, audit

PAGE = Path(__file__).parents[2] / "docs" / "PRIVACY.md"
BEGIN, END = "<!-- table: make audit-privacy -->", "<!-- end of the table -->"
CONFIDENCE = 0.99
"""That every bound of the table is right, all of them together."""
RUNS = 40_000
CASES = [
    Case(epsilon, d, *group)
    for epsilon in (1.0, 8.0)
    for d in (1, 4, 116)
    for group in ((Mode.LOCAL,), (Mode.SECAGG, 20, 8), (Mode.SECAGG, 4, 1))
]


def main(arguments: Sequence[str] | None = None, page: Path = PAGE) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(prog="make audit-privacy", description="Attack the noise.")
    parser.add_argument("--runs", type=int, default=RUNS, help="of each neighbour and case")
    parser.add_argument("--seed", default="1", help="the same seed gives the same table")
    parser.add_argument("--epsilon", type=float, help="only the cases of this price")
    parser.add_argument(
        "--half-noise", action="store_true", help="attack devices that add half the noise"
    )
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args(arguments)
    cases = [case for case in CASES if options.epsilon in (None, case.epsilon)]
    audit_it = partial(
        audit_one,
        runs=options.runs,
        seed=options.seed,
        noise_part=0.5 if options.half_noise else 1.0,
    )
    began = time.monotonic()
    with ProcessPoolExecutor(options.processes) as pool:
        found = list(pool.map(audit_it, cases))
    minutes = (time.monotonic() - began) / 60
    text = table(found, options.seed)
    print(text)
    print(f"{minutes:.1f} minutes with {options.processes} processes", file=sys.stderr)
    if options.half_noise:
        missed = [finding.case for finding in found if finding.holds]
        for case in missed:
            print(f"half the noise was not seen: {case}", file=sys.stderr)
        return 1 if missed else 0
    if cases == CASES:
        write(text, page)
    broken = [finding.case for finding in found if not finding.holds]
    for case in broken:
        print(f"an attack shows more than the claim: {case}", file=sys.stderr)
    return 1 if broken else 0


def audit_one(case: Case, runs: int, seed: str, noise_part: float) -> Finding:
    """Audit a case with its share of the doubt (Bonferroni)."""
    entropy = Entropy(f"{seed} {case}")
    return audit(case, runs, (1 - CONFIDENCE) / len(CASES), entropy, noise_part)


def table(found: Sequence[Finding], seed: str) -> str:
    """Format the findings as a table in Markdown."""
    lines = [
        "| mode | m | c | d | claimed ε | shown ε | claimed ρ | shown ρ | runs |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
        *map(_line, found),
        "",
        f"Runs: of each neighbour, counted; as many again chose the thresholds. Seed: {seed}."
        f" All {len(found)} lines together hold with {CONFIDENCE:.0%} confidence.",
    ]
    return "\n".join(lines)


def write(text: str, page: Path) -> None:
    """Put the table between its marks in the page."""
    before, rest = page.read_text("utf-8").split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", "utf-8")


def _line(finding: Finding) -> str:
    case = finding.case
    return (
        f"| {case.mode.value} | {case.survivors} | {case.colluders} | {case.d}"
        f" | {epsilon_in_words(finding.epsilon_claimed)} | {finding.epsilon_shown:.3f}"
        f" | {finding.rho_claimed:.4f} | {finding.rho_shown:.4f} | {finding.runs:,} |"
    )


if __name__ == "__main__":
    sys.exit(main())
