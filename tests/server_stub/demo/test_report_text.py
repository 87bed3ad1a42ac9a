"""The report as a person reads it: whose consent, how good and how sure, how private, and then one
verdict.
"""

import io

from rich.console import Console

from server_stub.demo.report_text import render
from tests.fakes.demo_report import evaluation, report


def text_of(shown, width=80):
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(render(shown))
    return console.file.getvalue()


def test_the_report_begins_with_the_consent_and_ends_with_the_verdict_and_next_steps():
    text = text_of(report())
    assert text.splitlines()[0] == "Consent: simulated."
    ending = text[text.index("Verdict: ") :]
    assert ending.index("The model got better") < ending.index("What it does not show")
    assert ending.index("What it does not show") < ending.index("Try next:")
    assert ending.rstrip().splitlines()[-1].startswith("  aegis simulate")
    assert "one note" in text
    assert "4 times a device vanished" in text


def test_each_figure_has_its_interval_in_a_table_that_fits_80_columns():
    lines = text_of(report(after=evaluation(0.836, 0.012, accuracy=0.76))).splitlines()
    (row,) = [line for line in lines if line.strip().startswith("after  ")]
    assert row.split() == ["after", "76.0%", "(74.8–77.2)", "0.836", "(0.824–0.848)", "10.0%"]
    assert max(map(len, lines)) <= 80


def test_auc_shuffled_labels_and_sums_are_explained_in_half_a_line_each():
    text = text_of(report(mode="secagg"))
    for term in ("AUC: ", "Shuffled labels: ", "Sums: "):
        (line,) = [line for line in text.splitlines() if line.strip().startswith(term)]
        assert len(line) <= 80
    assert "reads only totals over groups" in text
    assert "reads only totals over groups" not in text_of(report(mode="local"))


def test_the_report_says_how_strong_the_protection_is_and_what_remains_if_the_sums_fail():
    text = text_of(report(), width=200)
    assert "weak protection: local mode, ε = 8" in text
    assert "e^ε = 2981.0" in text
    assert "protection of the sums failed" not in text
    secagg = text_of(report(mode="secagg", epsilon_local=31.0), width=200)
    assert "If the protection of the sums failed, it would be ε = 31." in secagg


def test_only_groups_below_the_products_size_are_called_a_test_floor():
    small = text_of(report(mode="secagg", group_floor="test floor: groups of 3, sums of 2"))
    assert "The product itself demands groups" in small
    large = text_of(report(mode="secagg", group_floor="the product's own floor: groups of 32"))
    assert "The product itself demands" not in large
