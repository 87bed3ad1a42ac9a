"""The privacy budget in plain words."""

from dataclasses import replace

import pytest

from tests.fakes import agent_client as fakes
from tests.ui.plain_formatter import PlainFormatter
from ui.presentation.budget_labels import budget_labels

BUDGET = fakes.status().budget


def labels(**changes):
    return budget_labels(replace(BUDGET, **changes), PlainFormatter())


def test_a_budget_in_use_shows_share_figures_and_end():
    shown = labels()
    assert shown.share == pytest.approx(0.34)
    assert shown.headline == "34 % of the budget for 365 days is used."
    assert shown.figures == "ε = 0.34 of 1, at δ = 1/100000"
    assert shown.lifetime.endswith("whole life: ε = 0.34 of at most 3")
    assert shown.fallback.endswith("ε = 0.34, over its whole life 0.34")
    assert shown.meaning.endswith(
        "When it is used up, this device stops taking part by itself, until 2027-10-15 16:00."
    )


def test_an_untouched_budget_says_so():
    assert labels(charges=0).headline == "Nothing has been used yet."


def test_a_spent_budget_says_when_the_device_may_take_part_again():
    shown = labels(epsilon_ledger=1.3, may_take_part_at=fakes.NOW)
    assert shown.share == 1.0
    assert shown.headline == "Used up. This device may take part again on 2026-11-24 16:00."
    assert shown.meaning.startswith("Until then nothing is trained or sent.")


def test_without_a_renewal_it_names_no_end():
    assert labels(renews_at=None).meaning.endswith("this device stops taking part by itself.")


def test_a_budget_of_zero_is_full():
    assert labels(epsilon_period=0.0).share == 1.0


def test_p5_figures_and_share_are_rounded_up():
    shown = labels(epsilon_ledger=12.31, epsilon_period=20.0)
    assert "ε = 12.4 of 20," in shown.figures
    assert shown.headline.startswith("62 % of the budget")


def test_what_an_unreadable_ledger_would_leave_is_unknown():
    shown = labels(epsilon_local=None, epsilon_local_lifetime=None)
    assert shown.fallback.endswith("ε = unknown, over its whole life unknown")
