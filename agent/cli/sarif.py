"""Writes a scan as SARIF 2.1.0 (OASIS, "Static Analysis Results Interchange Format"), for programs
that collect findings.
"""

from pathlib import Path
from typing import Any

from agent import __version__
from agent.cli.backend import Answer
from agent.files import atomic_file
from agent.printable import json_text, printable

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"
_RULES = (
    (
        "suspicious-program",
        "malicious",
        "error",
        "The model gives this program a high probability of being malicious, from its header.",
    ),
    (
        "unsure-program",
        "unsure",
        "note",
        "The model cannot tell whether this program is benign, from its header.",
    ),
)
"""(id, verdict, level, what it means). Benign programs and other files are no findings."""


def write_sarif(name: str, answer: Answer) -> None:
    """Write the answer of `scan`. Raises OSError."""
    atomic_file.write(Path(name), (json_text(sarif(answer), indent=1) + "\n").encode())


def sarif(answer: Answer) -> dict[str, Any]:
    """Return the document. Files that could not be read are notifications of the run."""
    places = {verdict: place for place, (_, verdict, _, _) in enumerate(_RULES)}
    results = answer["results"]
    run = {
        "tool": {
            "driver": {
                "name": "AegisAI",
                "semanticVersion": __version__,
                "rules": [
                    {
                        "id": name,
                        "shortDescription": {"text": meaning},
                        "defaultConfiguration": {"level": level},
                    }
                    for name, _, level, meaning in _RULES
                ],
            }
        },
        "invocations": [
            {
                "executionSuccessful": True,
                "toolExecutionNotifications": [
                    {
                        "level": "warning",
                        "descriptor": {"id": one["code"]},
                        "message": {"text": one["message"]},
                        "locations": [_location(one["path"])],
                    }
                    for one in results
                    if one["verdict"] == "error"
                ],
            }
        ],
        "results": [
            _finding(one, places[one["verdict"]]) for one in results if one["verdict"] in places
        ],
        "properties": {
            name: answer[name]
            for name in (
                "model_version", "model_age_days", "model_too_old", "demonstration",
                "benign_below", "malicious_from", "false_positive_rate", "counts",
            )
        },
    }  # fmt: skip
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _finding(one: dict[str, Any], place: int) -> dict[str, Any]:
    name, _, level, _ = _RULES[place]
    because = "; ".join(reason["text"] for reason in one["reasons"])
    text = f"{'Suspicious' if level == 'error' else 'Unsure'}: score {one['probability']:.3f}"
    return {
        "ruleId": name,
        "ruleIndex": place,
        "level": level,
        "rank": 100 * one["probability"],
        "message": {"text": f"{text} ({because})." if because else f"{text}."},
        "locations": [_location(one["path"])],
        "properties": {"reasons": one["reasons"], "provenance": one["provenance"]},
    }


def _location(path: str) -> dict[str, Any]:
    """The URI names the file byte for byte; the text is for people."""
    return {
        "physicalLocation": {"artifactLocation": {"uri": Path(path).as_uri()}},
        "message": {"text": printable(path)},
    }
