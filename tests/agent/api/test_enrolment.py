"""An invitation is shown, then kept; nobody is contacted."""

import pytest

from agent.errors import UserActionError


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
