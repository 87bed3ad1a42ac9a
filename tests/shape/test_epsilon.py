"""No code but the formatter writes an ε, and what is read from it is never below the figure."""

from pathlib import Path

import pytest

from tests.shape import epsilon
from tests.shape.source import PACKAGES, SourceFile, read

ROOT = Path(__file__).parents[2]


def test_p5_nothing_but_the_formatter_writes_epsilon():
    assert epsilon.formatted(read(ROOT, PACKAGES)) == []


@pytest.mark.parametrize(
    "text",
    [
        "f'{report.epsilon:g}'",
        "f'{budget[\"epsilon_period\"]:.3g}'",
        "f'ε = {spent:.2f}'",
        "f'ε {price}'",
        "f'{max(1, 2) + epsilon_spent}'",
        "f'{epsilon(units, delta)}'",
        "round(self.epsilon_local, 4)",
        "rounded_up(charge['epsilon'], 3)",
        "formatter.number(budget.epsilon_ledger, 2)",
        "'{}'.format(epsilon_local)",
        "'{used}'.format(used=view.epsilon_ledger)",
        "'%.2f' % epsilon_ledger",
        "str(report.epsilon)",
    ],
)
def test_every_other_way_is_found(text):
    assert len(epsilon.formatted([SourceFile("agent/a.py", f"x = {text}\n")])) == 1


@pytest.mark.parametrize(
    "text",
    [
        "f'ε = {epsilon_in_words(report.epsilon)}'",
        "f'ε = {epsilon_text(charge.get(\"epsilon\"), formatter)}'",
        "'{used}'.format(used=epsilon_text(view.epsilon_ledger, formatter))",
        "f'{_other_epsilons(budget)}'",
        "f'δ = {report.delta:g}'",
        "rho_for_epsilon(plan.epsilon, delta)",
        "{'epsilon_spent': self.epsilon_spent}",
    ],
)
def test_the_formatter_and_figures_that_nobody_formats_are_fine(text):
    assert epsilon.formatted([SourceFile("agent/a.py", f"x = {text}\n")]) == []
