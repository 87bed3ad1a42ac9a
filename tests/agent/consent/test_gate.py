"""The gate says yes only when nothing forbids, and every permit asks it again."""

import itertools

import pytest

from agent.consent.gate import DEMO_SURFACE, LOOPBACK_HOSTS, Permit, Purpose
from agent.consent.record import Act, Evidence, add_months
from agent.errors import InternalError, UserActionError
from agent.reasons import ReasonCode
from agent.status import ConsentState
from tests.fakes.consent import NOTICE


@pytest.mark.parametrize(
    "state", [state for state in ConsentState if state is not ConsentState.GRANTED]
)
def test_p1_only_granted_gives_a_permit(consent, state):
    consent.enter(state)
    with pytest.raises(UserActionError) as raised:
        consent.gate.permit()
    assert raised.value.code == "NO_CONSENT"
    assert raised.value.message.endswith(".")
    assert raised.value.remedy == "Read the notice and decide: aegis consent show."


def test_p2_a_permit_dies_with_withdrawal(consent):
    consent.act(Act.GRANT)
    permit = consent.gate.permit()
    permit.check()
    consent.act(Act.WITHDRAW)
    assert not permit.is_alive
    with pytest.raises(UserActionError, match="withdrew"):
        permit.check()
    consent.act(Act.GRANT)
    assert consent.state() is ConsentState.GRANTED


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"policy_denied": "No."}, "DENIED_BY_POLICY"),
        ({"do_not_track": True}, "NO_CONSENT"),
        ({"notice_id": "contribute-1-ffff"}, "NO_CONSENT"),
    ],
)
def test_p1_a_permit_dies_when_what_it_was_for_changes(consent, change, code):
    consent.act(Act.GRANT)
    permit = consent.gate.permit()
    consent.set(**change)
    with pytest.raises(UserActionError) as raised:
        permit.check()
    assert raised.value.code == code


def test_p1_a_permit_dies_when_consent_expires(consent):
    consent.act(Act.GRANT)
    permit = consent.gate.permit()
    consent.clock.wall = add_months(consent.clock.wall, consent.facts.refresh_months)
    assert not permit.is_alive


@pytest.mark.parametrize("surface", ["cli", DEMO_SURFACE])
def test_p1_the_answer_is_yes_only_when_nothing_forbids(consent, surface):
    consent.act(Act.GRANT, Evidence(NOTICE, "ab" * 32, "en", surface))
    for forbidden, do_not_track, is_current, demo_home, is_here in itertools.product(
        (False, True), repeat=5
    ):
        consent.set(
            policy_denied="Not on build servers." if forbidden else "",
            do_not_track=do_not_track,
            notice_id=NOTICE if is_current else "contribute-2-0123456789abcdef",
            demo_home=demo_home,
            server_host="127.0.0.1" if is_here else "fl.example.org",
        )
        counts = surface != DEMO_SURFACE or (demo_home and is_here)
        allowed = counts and is_current and not forbidden and not do_not_track
        assert (consent.gate.denial() is None) is allowed, consent.facts


def test_p3_a_policy_is_named_before_a_missing_consent(consent):
    consent.set(policy_denied="Not on build servers.")
    denial = consent.gate.denial()
    assert (denial.code, denial.message) == (
        ReasonCode.DENIED_BY_POLICY,
        "Not on build servers.",
    )


@pytest.mark.parametrize("purpose", Purpose)
def test_only_the_gate_makes_permits(purpose):
    with pytest.raises(InternalError) as raised:
        Permit(purpose, lambda: None, object())
    assert raised.value.code == "PERMIT_FORGED"


def test_the_leave_permit_needs_no_consent_and_is_of_its_own_kind(consent):
    consent.set(policy_denied="Not on build servers.", do_not_track=True)
    permit = consent.gate.leave_permit()
    permit.check()
    assert (permit.purpose, permit.is_alive) == (Purpose.LEAVE, True)
    consent.set(policy_denied="", do_not_track=False)
    consent.act(Act.GRANT)
    assert consent.gate.permit().purpose is Purpose.CONTRIBUTE


@pytest.mark.parametrize(
    ("demo_home", "host", "allowed"),
    [
        *((True, host, True) for host in sorted(LOOPBACK_HOSTS)),
        (True, "fl.example.org", False),
        (True, "127.0.0.1.example.org", False),
        (False, "127.0.0.1", False),
        (True, "", False),
    ],
)
def test_p1_simulated_consent_counts_only_in_a_demo_home_with_a_loopback_server(
    consent, demo_home, host, allowed
):
    consent.act(Act.GRANT, Evidence(NOTICE, "ab" * 32, "en", DEMO_SURFACE))
    consent.set(demo_home=demo_home, server_host=host)
    assert (consent.gate.denial() is None) is allowed
