"""usage: python -m tests.fuzz [--inputs N] [--parser NAME] [--first-seed N] [--write-seeds]

Feeds N inputs in all (default: a million) to the parsers of strangers' bytes. Each finding is kept
as a file below tests/fuzz/seeds, from where `make test` runs it. Exit code 1 if there was one.
"""

import argparse
import functools
import sys

from tests.fuzz.parsers import FOLDER, PARSERS, valid_inputs
from tests.fuzz.runs import feed

INPUTS = 1_000_000


def write_seeds() -> None:
    for parser, contents in valid_inputs().items():
        folder = FOLDER / "seeds" / parser
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (folder / name).write_bytes(content)


def say(name: str, done: int, seconds: float) -> None:
    print(f"\r{name}: {done} inputs in {seconds:.0f} s", end="", flush=True)


def main() -> int:
    options = argparse.ArgumentParser(usage=__doc__)
    options.add_argument("--inputs", type=int, default=INPUTS)
    options.add_argument("--parser", choices=[parser.name for parser in PARSERS])
    options.add_argument("--first-seed", type=int, default=0)
    options.add_argument("--write-seeds", action="store_true")
    chosen = options.parse_args()
    if chosen.write_seeds:
        write_seeds()
        return 0
    parsers = [one for one in PARSERS if chosen.parser in (None, one.name)]
    findings = []
    share = chosen.inputs // len(parsers)
    for parser in parsers:
        report = functools.partial(say, parser.name)
        findings += feed(parser, share, first_seed=chosen.first_seed, report=report)
        print()
    for finding in findings:
        print(f"\n{finding.path}\n{finding.trace}")
    print(f"{len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
