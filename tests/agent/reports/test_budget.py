"""The budget in ε: what was charged in this period, in all, and when it renews."""

import pytest

from agent.privacy.zcdp import epsilon
from agent.reports.budget import BudgetReport

DAY_S = 24 * 3600


@pytest.fixture
def report(device):
    from agent.privacy.policy import DeviceLimits
    from agent.rounds.budget_gate import BudgetGate

    agent = device.agent
    gate = BudgetGate(agent.clock, agent.effective, agent.ledger, agent.values, DeviceLimits)
    return BudgetReport(agent.clock, agent.effective, agent.ledger, gate)


def test_nothing_is_spent_before_the_first_charge(report):
    budget = report.view()
    assert (budget.epsilon_ledger, budget.epsilon_lifetime, budget.charges) == (0, 0, 0)
    assert (budget.renews_at, report.spent(), report.ledger_error()) == (None, None, None)


async def test_charges_leave_the_period_and_stay_in_the_lifetime(device, report):
    await device.join()
    await device.run_cycle()
    (charge,) = device.agent.ledger.charges()
    budget = report.view()
    assert budget.epsilon_ledger == epsilon(charge.rho_units, budget.delta)
    assert budget.epsilon_local == epsilon(charge.rho_local_units, budget.delta)
    assert budget.renews_at == charge.at + 365 * DAY_S
    device.clock.advance(365 * DAY_S)
    later = report.view()
    assert (later.epsilon_ledger, later.renews_at, later.charges) == (0, None, 1)
    assert later.epsilon_lifetime == budget.epsilon_ledger
    assert (later.epsilon_local, later.epsilon_local_lifetime) == (0, budget.epsilon_local)


async def test_p5_an_unreadable_ledger_counts_as_spent(device, report, monkeypatch):
    from agent.errors import UserActionError

    def broken():
        raise UserActionError("CHAIN_BROKEN", "The ledger was altered.", "")

    monkeypatch.setattr(device.agent.ledger, "charges", broken)
    budget = report.view()
    assert budget.epsilon_ledger == budget.epsilon_period
    assert (budget.epsilon_local, budget.epsilon_local_lifetime) == (None, None)
    assert budget.epsilon_lifetime == budget.epsilon_lifetime_ceiling
    assert report.ledger_error().code == "CHAIN_BROKEN"
