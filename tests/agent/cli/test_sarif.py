"""A scan as SARIF 2.1.0: what the standard requires, and nothing that a reader trips on."""

import json
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlparse

import pytest

from agent.cli.sarif import sarif, write_sarif

REASONS = [{"fields": ["CheckSum"], "text": "has no checksum", "weight": 1.5}]


def one(path, verdict, probability, code="", message="", reasons=()):
    return {
        "path": path,
        "verdict": verdict,
        "probability": probability,
        "code": code,
        "message": message,
        "reasons": list(reasons),
        "provenance": "",
    }


ANSWER = {
    "results": [
        one("/a/good.exe", "benign", 0.1),
        one("/a/bad \u202e.exe", "malicious", 0.9, reasons=REASONS),
        one("/a/odd\udcff.exe", "unsure", 0.6),
        one("/a/cut.exe", "error", None, "TRUNCATED_PE", "It is cut off."),
        one("/a/notes.txt", "not_pe", None, "NOT_PE", "No program."),
    ],
    "counts": {"benign": 1, "malicious": 1, "unsure": 1, "not_pe": 1, "error": 1},
    "model_version": 7,
    "demonstration": False,
    "model_age_days": 12,
    "model_too_old": False,
    "benign_below": 0.5,
    "malicious_from": 0.8,
    "false_positive_rate": None,
}


@pytest.fixture
def document(tmp_path):
    write_sarif(str(tmp_path / "out.sarif"), ANSWER)
    return json.loads((tmp_path / "out.sarif").read_text(encoding="utf-8"))


def uri_of(entry):
    return entry["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]


def test_suspicious_and_unsure_programs_are_results_and_refer_to_their_rules(document):
    assert document == sarif(ANSWER)
    assert document["version"] == "2.1.0"
    (run,) = document["runs"]
    rules = run["tool"]["driver"]["rules"]
    found = [
        (entry["ruleId"], entry["level"], entry["message"]["text"]) for entry in run["results"]
    ]
    assert found == [
        ("suspicious-program", "error", "Suspicious: score 0.900 (has no checksum)."),
        ("unsure-program", "note", "Unsure: score 0.600."),
    ]
    assert [rules[entry["ruleIndex"]]["id"] for entry in run["results"]] == [
        entry["ruleId"] for entry in run["results"]
    ]


def test_what_could_not_be_read_is_a_notification_of_a_run_that_succeeded(document):
    (invocation,) = document["runs"][0]["invocations"]
    assert invocation["executionSuccessful"] is True
    (notification,) = invocation["toolExecutionNotifications"]
    assert notification["descriptor"] == {"id": "TRUNCATED_PE"}
    assert uri_of(notification) == "file:///a/cut.exe"


def test_a_name_is_a_uri_byte_for_byte_and_a_text_that_can_be_shown(document):
    bad, odd = document["runs"][0]["results"]
    path = Path(unquote_to_bytes(urlparse(uri_of(bad)).path).decode())
    assert path == Path("/a/bad \u202e.exe")
    assert unquote_to_bytes(urlparse(uri_of(odd)).path) == b"/a/odd\xff.exe"
    assert bad["locations"][0]["message"]["text"] == r"/a/bad \u202e.exe"
