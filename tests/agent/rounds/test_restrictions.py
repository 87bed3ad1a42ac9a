"""Reasons not to train or send are asked afresh; only a person's own limits can be set aside."""

import pytest

from agent.errors import UserActionError
from agent.reasons import OVERRIDABLE, Reason, ReasonCode
from agent.rounds.outcome import Outcome
from agent.rounds.restrictions import Restrictions

ALL = tuple(Reason(code, "A sentence.") for code in ReasonCode)


def test_reasons_keep_their_order_and_are_asked_afresh():
    training, sending = list(ALL), []
    restrictions = Restrictions(lambda: tuple(training), lambda: tuple(sending))
    assert (restrictions.on_training(), restrictions.on_sending()) == (ALL, ())
    training.clear()
    sending.append(ALL[3])
    assert (restrictions.on_training(), restrictions.on_sending()) == ((), (ALL[3],))


@pytest.mark.parametrize("code", ReasonCode)
def test_an_override_sets_the_persons_own_limits_aside_and_nothing_else(code):
    reason = Reason(code, "A sentence.")
    restrictions = Restrictions(lambda: (reason,), lambda: (reason,))
    restrictions.is_overridden = True
    left = () if code in OVERRIDABLE else (reason,)
    assert (restrictions.on_training(), restrictions.on_sending()) == (left, left)


def test_consent_policy_and_budget_are_no_limits_of_the_persons_own():
    assert not OVERRIDABLE & {
        ReasonCode.NO_CONSENT,
        ReasonCode.DENIED_BY_POLICY,
        ReasonCode.NOT_ENROLLED,
        ReasonCode.BUDGET_SPENT,
    }


async def test_train_once_now_passes_a_pause_for_one_cycle_and_never_a_withdrawal(device):
    await device.join()
    await device.call("pause")
    assert (await device.run_cycle()).outcome is Outcome.WAITING
    result = await device.agent.cycles.run(hold_s=None, override=True)
    assert result.outcome is Outcome.SENT
    device.server.next_round()
    assert (await device.run_cycle()).outcome is Outcome.WAITING
    await device.call("consent.withdraw", surface="tray")
    with pytest.raises(UserActionError):
        await device.agent.cycles.run(hold_s=None, override=True)
