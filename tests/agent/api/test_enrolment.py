"""An invitation is shown, then kept; nobody is contacted."""

import pytest

from agent.errors import UserActionError
from agent.rounds.outcome import Outcome
from tests.fakes.aggregator import FakeAggregator
from tests.fakes.in_process_fleet import device_id


async def test_inspecting_an_invitation_stores_nothing(device):
    shown = await device.call("invitation.inspect", invitation=device.server.invitation())
    assert shown["operator"]["name"] == "Test operator"
    assert len(shown["ca_sha256"]) == 64
    assert device.agent.effective.enrolment() is None


async def test_an_invitation_is_stored_and_nobody_is_contacted(device):
    kept = await device.call("enroll", invitation=device.server.invitation())
    assert kept["operator"]["contact"] == "privacy@example.org"
    assert kept["server"] == device.server.server
    device.restart()
    assert device.agent.effective.enrolment().operator.name == "Test operator"
    assert device.server.calls == []


async def test_a_server_can_be_joined_without_an_invitation(device):
    ca_pem = device.server.authority.pem
    kept = await device.call(
        "enroll", server="https://aggregator.example", token="t" * 20, ca_pem=ca_pem
    )
    assert kept["operator"]["name"] == "the operator of aggregator.example"
    with pytest.raises(UserActionError) as raised:
        await device.call("enroll", server="http://aggregator.example", token="t" * 20, ca_pem="")
    assert raised.value.code == "BAD_SERVER"


async def test_an_enrolled_device_joins_no_other_operator(device):
    await device.join()
    await device.run_cycle()
    with pytest.raises(UserActionError) as raised:
        await device.call("enroll", invitation=device.server.invitation())
    assert raised.value.code == "ALREADY_ENROLLED"


async def test_without_an_invitation_that_of_the_policy_is_stored(device, tmp_path):
    """IT proposes the operator; only the person agrees."""
    invitation = device.server.invitation()
    (tmp_path / "policy.toml").write_text(f'[enrolment]\ninvitation = "{invitation}"\n')
    stored = await device.call("enroll")
    assert stored["operator"]["name"] == "Test operator"
    assert device.agent.status().consent.state.value == "UNASKED"
    assert device.server.calls == []


async def test_an_invitation_of_the_person_goes_before_that_of_the_policy(device, tmp_path):
    (tmp_path / "policy.toml").write_text('[enrolment]\ninvitation = "aegis1.x.00000000"\n')
    stored = await device.call("enroll", invitation=device.server.invitation())
    assert stored["server"] == device.server.server
    with pytest.raises(UserActionError) as raised:
        await device.call("enroll")
    assert raised.value.code == "INVITATION_BAD"


async def forked(device):
    """A device that the server has refused as a copy."""
    await device.join()
    assert (await device.run_cycle()).outcome is Outcome.SENT
    device.agent.ledger.sealed.mark_forked(device.clock.now())
    device.server.tokens.clear()
    device.server.next_round()


async def test_p5_a_copy_joins_again_and_counts_one_period_as_spent(device):
    await forked(device)
    before, old_id = device.agent.ledger.charges(as_found=True), device_id(device)
    names = set(device.keystore.names)
    await device.call("enroll", invitation=device.server.invitation())
    assert device.agent.keys.has_identity() is False
    assert names <= device.keystore.names  # the other copy may need the item

    result = await device.run_cycle()
    budget = device.agent.effective.budget()
    assert result.outcome is Outcome.BUDGET_SPENT
    assert result.may_take_part_at == device.clock.now() + budget.period_days * 24 * 3600
    charges = device.agent.ledger.charges()
    assert charges[:-1] == before
    assert charges[-1].rho_units == budget.rho_units
    assert device_id(device) != old_id
    assert device.agent.ledger.sealed.state().unsealed == len(charges)
    page = await device.call("ledger", verify=True)
    assert (page["verified"], page["seal"]["verified"]) == (True, True)


async def test_p5_what_a_copy_has_not_sent_goes_out_under_no_second_name(device):
    """The other copy may have sent the same bytes: then one charge would count twice in a sum."""
    await device.join()
    device.server.fail("send_update", UserActionError("OFFLINE", "", ""))
    with pytest.raises(UserActionError):
        await device.run_cycle()
    assert device.agent.ledger.unsent()
    device.agent.ledger.sealed.mark_forked(device.clock.now())
    device.server.tokens.clear()
    await device.call("enroll", invitation=device.server.invitation())
    assert device.agent.ledger.unsent() == []
    await device.run_cycle()
    assert device.server.updates == {}


@pytest.mark.parametrize("restarts", [False, True], ids=["same start", "after a restart"])
async def test_p5_a_clock_that_was_behind_shortens_no_carried_over_period(device, restarts):
    """Joining again asks no server, so nothing has checked the clock by then."""
    await forked(device)
    behind_s = (device.agent.effective.budget().period_days + 1) * 24 * 3600
    device.clock.set(-behind_s)
    await device.call("enroll", invitation=device.server.invitation())
    device.clock.set(behind_s)
    if restarts:
        device.clock.restart_machine()
    assert (await device.run_cycle()).outcome is Outcome.BUDGET_SPENT


async def test_a_copy_joins_the_same_operator_only(device):
    await forked(device)
    other = FakeAggregator(device.clock)
    with pytest.raises(UserActionError) as raised:
        await device.call("enroll", invitation=other.invitation())
    assert raised.value.code == "OTHER_AUTHORITY"
    assert device.agent.ledger.sealed.is_forked
    assert device.agent.keys.has_identity()


async def test_p10_joining_again_that_failed_can_be_repeated(device, monkeypatch):
    await forked(device)
    with monkeypatch.context() as broken:
        broken.setattr(device.agent.values, "put_within", _full)
        with pytest.raises(UserActionError):
            await device.call("enroll", invitation=device.server.invitation())
    assert device.agent.ledger.sealed.is_forked
    assert device.agent.effective.enrolment().is_registered
    device.restart()
    await device.call("enroll", invitation=device.server.invitation())
    assert (await device.run_cycle()).outcome is Outcome.BUDGET_SPENT


async def test_a_device_that_is_no_copy_is_not_joined_again(device):
    await device.join()
    await device.run_cycle()
    with pytest.raises(UserActionError) as raised:
        await device.call("enroll", invitation=device.server.invitation())
    assert raised.value.code == "ALREADY_ENROLLED"


def _full(*_):
    raise UserActionError("DISK_FULL", "The disk is full.", "")
