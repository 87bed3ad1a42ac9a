"""Reasons keep their order, and only a person's own limits can be overridden."""

import pytest

from agent.reasons import OVERRIDABLE, Reason, ReasonCode

NEVER_OVERRIDDEN = (
    ReasonCode.NO_CONSENT,
    ReasonCode.DENIED_BY_POLICY,
    ReasonCode.NOT_ENROLLED,
    ReasonCode.BUDGET_SPENT,
    ReasonCode.MODEL_SPENT,
    ReasonCode.DAY_SPENT,
    ReasonCode.ROUND_TOO_EXPENSIVE,
    ReasonCode.HOT,
    ReasonCode.LOW_MEMORY,
    ReasonCode.LOW_DISK,
    ReasonCode.METERED,
)
ORDER = list(ReasonCode)


@pytest.mark.parametrize("code", ReasonCode, ids=lambda code: code.value)
def test_a_code_is_its_own_name(code):
    assert code.value == code.name


@pytest.mark.parametrize("code", NEVER_OVERRIDDEN, ids=lambda code: code.value)
def test_p3_consent_policy_budget_and_the_machines_safety_cannot_be_overridden(code):
    assert not Reason(code, "No.").overridable


@pytest.mark.parametrize("code", sorted(OVERRIDABLE, key=ORDER.index), ids=lambda code: code.value)
def test_a_persons_own_limits_can_be_overridden(code):
    assert Reason(code, "Not now.").overridable


def test_p1_consent_and_policy_come_before_everything_else():
    assert ORDER[:2] == [ReasonCode.NO_CONSENT, ReasonCode.DENIED_BY_POLICY]


def test_reasons_to_delay_sending_come_after_all_others():
    assert ORDER[-4:] == [
        ReasonCode.METERED,
        ReasonCode.OFFLINE,
        ReasonCode.HOLD,
        ReasonCode.NO_ROUND,
    ]
