"""The page's words about a scan: counts, reasons, and what the verdicts are worth."""

import pytest

from tests.ui.plain_formatter import PlainFormatter
from tests.ui.windows import scan_answer
from ui.presentation.scan_report import (
    FEW_FILES,
    MOST_LISTED,
    added_text,
    counts_text,
    listed,
    marked_text,
    why_text,
    worth_text,
)

WORDS = PlainFormatter()
NONE = {"benign": 0, "malicious": 0, "unsure": 0, "not_pe": 0, "error": 0}


def result(verdict, probability=None, **more):
    return {
        "path": "/a",
        "verdict": verdict,
        "probability": probability,
        "message": "",
        "reasons": [],
        "provenance": "",
        **more,
    }


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        (
            {"benign": 1240, "unsure": 17, "malicious": 8, "not_pe": 1564},
            "1265 programs: 1240 look benign, 17 unsure, 8 suspicious; 1564 other files.",
        ),
        (
            {"benign": 1, "error": 1},
            "1 program: 1 looks benign, 0 unsure, 0 suspicious; 0 other files; 1 file not read.",
        ),
        ({"not_pe": 1, "error": 2}, "0 programs; 1 other file; 2 files not read."),
    ],
)
def test_a_scan_is_one_line_of_counts(counts, text):
    assert counts_text({**NONE, **counts}, WORDS) == text


def test_what_deserves_a_look_comes_first_and_a_long_list_ends():
    results = [
        *(result("benign", 0.1) for _ in range(MOST_LISTED)),
        result("not_pe"),
        result("error", message="Cut off."),
        result("malicious", 0.8),
        result("malicious", 0.9),
    ]
    shown = listed(results)
    assert [(one["verdict"], one["probability"]) for one in shown[:3]] == [
        ("malicious", 0.9),
        ("malicious", 0.8),
        ("error", None),
    ]
    assert len(shown) == MOST_LISTED
    assert "not_pe" not in {one["verdict"] for one in shown}
    assert len(listed([result("not_pe")] * FEW_FILES)) == FEW_FILES


def test_each_file_says_why():
    reasons = [{"text": "has no checksum", "weight": 1.0}, {"text": "a library", "weight": -1.0}]
    scored = result("unsure", 0.6, reasons=reasons, provenance="from a package")
    assert why_text(scored, WORDS).splitlines() == [
        "from a package",
        "Raises it: has no checksum",
        "Lowers it: a library",
    ]
    assert why_text(result("error", message="Cut off."), WORDS) == "Cut off."


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"demonstration": True}, "this is no protection"),
        ({"model_too_old": True}, "It is too old"),
        ({"false_positive_rate": None}, "has not been measured"),
        ({}, "calls 1.0 % of benign programs"),
    ],
)
def test_the_worth_of_the_verdicts_is_said(changes, part):
    assert part in worth_text(scan_answer(**changes), WORDS)


@pytest.mark.parametrize(
    ("answer", "added", "marked"),
    [
        ({"added": 1, "known": 0}, "1 file added.", "Noted for 1 file."),
        (
            {"added": 3, "known": 1},
            "3 files added. 1 file was known already.",
            "Noted for 4 files.",
        ),
    ],
)
def test_a_file_that_was_known_counts_as_marked_and_not_as_added(answer, added, marked):
    refused = {"path": "/a/x.txt", "code": "NOT_PE", "message": "No program."}
    assert added_text({**answer, "refused": []}, WORDS) == added
    assert marked_text({**answer, "refused": [refused]}, WORDS) == f"{marked}\nx.txt: No program."
