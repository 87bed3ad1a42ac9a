"""What person, invitation and policy say together."""

import pytest

from agent.config.effective import from_token
from agent.errors import UserActionError
from tests.fakes.device import Device


@pytest.fixture
def device(tmp_path):
    device = Device(tmp_path)
    yield device
    device.close()


async def test_the_notice_shows_the_invitations_figures_until_the_person_sets_others(device):
    await device.call("enroll", invitation=device.server.invitation(epsilon_milli=2500))
    assert device.agent.effective.figures().epsilon_milli == 2500
    assert device.agent.effective.budget().epsilon == 2.5
    first = device.agent.effective.notice_id()
    await device.call("settings.set", key="budget.epsilon", value=0.5)
    assert device.agent.effective.budget().epsilon == 0.5
    assert device.agent.effective.notice_id() != first


async def test_p3_an_invitation_cannot_go_beyond_the_products_bounds(device):
    await device.call("enroll", invitation=device.server.invitation(epsilon_milli=300_000))
    assert device.agent.effective.budget().epsilon == 10.0


def test_p5_policy_lowers_the_budget_without_touching_the_notice(device, tmp_path):
    before = device.agent.effective.notice_id()
    (tmp_path / "policy.toml").write_text('[settings]\n"budget.epsilon" = 0.25\n')
    assert device.agent.effective.budget().epsilon == 0.25
    assert device.agent.effective.notice_id() == before


def test_p3_a_changed_policy_is_noticed_at_once(device, tmp_path):
    policy = tmp_path / "policy.toml"
    assert device.agent.effective.policy().denied == ""
    policy.write_text("contribute = false\n")
    assert device.agent.effective.policy().denied
    policy.unlink()
    assert device.agent.effective.policy().denied == ""


async def test_joining_again_is_refused_only_once_registered(device):
    invitation = device.server.invitation()
    await device.call("enroll", invitation=invitation)
    await device.call("enroll", invitation=invitation)
    await device.grant()
    device.add_rows(20)
    await device.run_cycle()
    with pytest.raises(UserActionError) as raised:
        await device.call("enroll", invitation=invitation)
    assert raised.value.code == "ALREADY_ENROLLED"


@pytest.mark.parametrize(
    ("server", "token", "ca"),
    [
        ("http://x", "12345678", "-----BEGIN CERTIFICATE-----"),
        ("https://x/path", "12345678", "-----BEGIN CERTIFICATE-----"),
        ("https://x", "short", "-----BEGIN CERTIFICATE-----"),
        ("https://x", "12345678\n", "-----BEGIN CERTIFICATE-----"),
        ("https://x", "12345678", ""),
        ("https://x", "12345678", "-----BEGIN CERTIFICATE-----" * 2),
    ],
)
def test_p11_a_server_that_cannot_be_joined_is_named(server, token, ca):
    with pytest.raises(UserActionError) as raised:
        from_token(server, token, ca)
    assert raised.value.code == "BAD_SERVER"


def test_without_an_invitation_only_the_servers_name_is_known():
    enrolment = from_token("https://fl.example.org:9443", "12345678", "-----BEGIN CERTIFICATE-----")
    assert "fl.example.org" in enrolment.operator.name
    assert not enrolment.is_registered


@pytest.mark.parametrize(
    ("epsilon", "milli", "delta", "inverse"),
    [(1.0, 1000, 1e-5, 100_000), (1.0004, 1001, 6e-4, 1666), (1.1, 1100, 1e-12, 10**12)],
)
def test_p5_the_notice_names_no_less_than_the_budget_allows(device, epsilon, milli, delta, inverse):
    effective = device.agent.effective
    effective.set("budget.epsilon", epsilon)
    effective.set("budget.delta", delta)
    figures = effective.figures()
    assert (figures.epsilon_milli, figures.delta_inverse) == (milli, inverse)
