"""Score files with the packaged model and print the suspicious ones first.

usage: python docs/examples/score_files.py PATH... [--above P]

It calls `aegis scan --json` in an empty home of its own, so the answer comes from the demonstration model that the program brings.
Leave out `--home` to score with the model of your own agent. Scanning needs no consent and sends nothing.
"""

import argparse
import json
import subprocess
import sys
import tempfile


def main() -> None:
    """Print one line a file that could be scored: probability, verdict, path."""
    parser = argparse.ArgumentParser(description="Score files with the packaged model.")
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a file, or a folder that is walked")
    parser.add_argument("--above", type=float, default=0.0, metavar="P", help="only these probabilities and higher")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "agent", "scan", "--json", "--home", home, *options.paths]
        answer = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    scored = [one for one in answer["results"] if one["probability"] is not None]
    for one in sorted(scored, key=lambda one: -one["probability"]):
        if one["probability"] >= options.above:
            print(f"{one['probability']:.3f}  {one['verdict']:<9}  {one['path']}")
    skipped = len(answer["results"]) - len(scored)
    model = "the demonstration model" if answer["demonstration"] else f"model version {answer['model_version']}"
    print(f"{len(scored)} files scored by {model}, {skipped} are no Windows programs or could not be read.")


if __name__ == "__main__":
    main()
