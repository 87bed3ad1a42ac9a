"""`python -m tests.shape [--json] [ROOT]`: the shape of a checkout, beside what it was before the
code was moved into packages.

Exit code 1 when a goal is missed. The figures of before are tracked in before.json: the `figures`
that `--json` printed then.
"""

import argparse
import json
import sys
from pathlib import Path

from tests.shape.figures import Figure, measure

HERE = Path(__file__).parent
BEFORE = HERE / "before.json"
SHOWN = 8
"""Places named under a missed goal; all of them are in the JSON."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.shape", description="Print the shape of a checkout."
    )
    parser.add_argument(
        "root",
        nargs="?",
        type=Path,
        default=HERE.parents[1],
        metavar="ROOT",
        help="a checkout; default: this one",
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args(arguments)
    figures = measure(options.root)
    print(
        as_json(figures)
        if options.json
        else table(figures, json.loads(BEFORE.read_text("utf-8"))["figures"])
    )
    return int(not all(figure.is_met for figure in figures))


def as_json(figures: list[Figure]) -> str:
    """The value of every figure by its key; goals and places apart from them."""
    value = {
        "figures": {figure.key: figure.value for figure in figures},
        "goals": {figure.key: figure.goal for figure in figures if figure.goal is not None},
        "where": {figure.key: figure.where for figure in figures},
    }
    return json.dumps(value, indent=1, ensure_ascii=False)


def table(figures: list[Figure], before: dict[str, float]) -> str:
    """One line for each figure, and the places of those that miss their goal."""
    width = max(len(figure.title) for figure in figures)
    lines = [f"{'figure':{width}}  {'before':>7}  {'now':>7}  {'goal':>7}"]
    for figure in figures:
        earlier = f"{before[figure.key]:g}" if figure.key in before else "–"
        goal = "–" if figure.goal is None else f"≤ {figure.goal:g}"
        mark = "" if figure.is_met else "  missed"
        lines.append(f"{figure.title:{width}}  {earlier:>7}  {figure.value:>7g}  {goal:>7}{mark}")
        if not figure.is_met:
            lines += [f"    {place}" for place in figure.where[:SHOWN]]
            lines += (
                [f"    … and {len(figure.where) - SHOWN} more"] if len(figure.where) > SHOWN else []
            )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
