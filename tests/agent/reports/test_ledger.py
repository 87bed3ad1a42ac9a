"""The ledger is checked with the aggregator's own signatures."""

import json

import pytest


@pytest.fixture
async def sent(device):
    await device.join()
    await device.run_cycle()
    return device


async def test_an_honest_ledger_verifies(sent):
    page = await sent.call("ledger", verify=True)
    assert (page["verified"], page["problems"]) == (True, [])
    assert page["totals"]["sent"] == 1
    assert page["charges"][0]["epsilon"] == page["totals"]["epsilon_ledger"]


@pytest.mark.parametrize(
    "receipt",
    [{}, {"receipt": {}}, {"receipt": {}, "signature": "00" * 64}],
    ids=["missing", "unsigned", "forged"],
)
async def test_a_receipt_that_the_aggregator_did_not_sign_is_a_problem(sent, receipt):
    with sent.agent.database.transaction():
        sent.agent.database.execute("UPDATE outbox SET receipt = ?", json.dumps(receipt))
    page = await sent.call("ledger", verify=True)
    assert page["verified"] is False
    assert any("aggregator's signature" in problem for problem in page["problems"])


async def test_without_verify_the_page_says_nothing_about_it(sent):
    page = await sent.call("ledger")
    assert (page["verified"], page["problems"]) == (None, [])
