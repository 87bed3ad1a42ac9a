"""Every end of a cycle that is not a success is a reason."""

import pytest

from agent.errors import PeerError, UserActionError
from agent.reasons import Reason, ReasonCode
from agent.rounds.cycle_reasons import KEYRING_REASONS, SEEN_WITHOUT_A_CYCLE, reasons_of
from agent.rounds.outcome import CycleResult, Outcome, waiting


@pytest.mark.parametrize("code", KEYRING_REASONS)
def test_errors_of_the_key_store_have_reasons_of_their_own(code):
    (reason,) = reasons_of(UserActionError(code, "No.", "Do this."), None, 5)
    assert reason == Reason(KEYRING_REASONS[code], "No. Do this.", at=5)


@pytest.mark.parametrize("code", ["REVOKED", "TOKEN_UNKNOWN", "MODEL_EXPIRED", "GAVE_UP", "X"])
def test_every_other_error_is_named_by_its_code(code):
    (reason,) = reasons_of(PeerError(code, "No.", ""), None, 5)
    assert (reason.code, reason.reading, reason.text) == (ReasonCode.CYCLE_FAILED, code, "No.")


@pytest.mark.parametrize("code", sorted(SEEN_WITHOUT_A_CYCLE))
def test_what_the_status_sees_by_itself_is_not_remembered(code):
    assert code in {reason.value for reason in ReasonCode}
    assert reasons_of(UserActionError(code, "No.", ""), None, 5) == ()


def test_a_wait_keeps_its_reasons_and_a_success_has_none():
    hold = Reason(ReasonCode.HOLD, "It waits.", until=9)
    assert [r.until for r in reasons_of(None, waiting((hold,)), 5)] == [9]
    assert reasons_of(None, CycleResult(Outcome.SENT, "Sent."), 5) == ()
    (reason,) = reasons_of(None, CycleResult(Outcome.NO_ROUND, "None is open."), 5)
    assert (reason.code, reason.at) == (ReasonCode.NO_ROUND, 5)
