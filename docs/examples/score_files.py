"""Score files with the packaged model and print the suspicious ones first.

usage: python docs/examples/score_files.py PATH... [--above P]

It calls `aegis scan --json` in an empty home of its own, so the demonstration model answers. Leave
out `--home` to score with the model of your own agent. Scanning needs no consent and sends nothing.
"""

import argparse
import json
import subprocess
import sys
import tempfile


def main() -> None:
    """Print probability, verdict and path of each file that could be scored."""
    parser = argparse.ArgumentParser(description="Score files with the packaged model.")
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a file, or a folder to walk")
    parser.add_argument("--above", type=float, default=0.0, metavar="P", help="only from P on")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as home:
        scan = [sys.executable, "-m", "agent", "scan", "--json", "--home", home, *options.paths]
        answer = json.loads(subprocess.run(scan, check=True, stdout=subprocess.PIPE).stdout)
    scored = [one for one in answer["results"] if one["probability"] is not None]
    for one in sorted(scored, key=lambda one: -one["probability"]):
        if one["probability"] >= options.above:
            print(f"{one['probability']:.3f}  {one['verdict']:<9}  {one['path']}")
    model = f"model version {answer['model_version']}"
    if answer["demonstration"]:
        model = "the demonstration model"
    skipped = len(answer["results"]) - len(scored)
    print(
        f"{len(scored)} files scored by {model}; {skipped} are no Windows programs or unreadable."
    )


if __name__ == "__main__":
    main()
