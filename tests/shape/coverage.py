"""`python -m tests.shape.coverage [REPORT]`: how much of each pure package its tests reach.

REPORT is what `make coverage` leaves in build/coverage/report.json. The figure is the share of
lines and branches together, as coverage itself counts; exit code 1 where a package is below GATE.
"""

import json
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "build" / "coverage" / "report.json"
GATE = 90.0


def percentages(report: Mapping[str, Any], packages: list[str]) -> dict[str, float]:
    """Per cent of lines and branches of each package that were reached; 0 where there are none."""
    return {package: _percent(report["files"], package.replace(".", "/")) for package in packages}


def _percent(files: Mapping[str, Any], folder: str) -> float:
    sums = [file["summary"] for path, file in files.items() if path.startswith(f"{folder}/")]
    reached = sum(one["covered_lines"] + one.get("covered_branches", 0) for one in sums)
    countable = sum(one["num_statements"] + one.get("num_branches", 0) for one in sums)
    return 100 * reached / countable if countable else 0.0


def main(arguments: list[str]) -> int:
    report = json.loads(Path(arguments[0] if arguments else REPORT).read_text("utf-8"))
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    found = percentages(report, settings["tool"]["coverage"]["run"]["source_pkgs"])
    for package, percent in found.items():
        print(f"{package:24}  {percent:5.1f} %{'' if percent >= GATE else f'  below {GATE:g} %'}")
    return int(min(found.values()) < GATE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
