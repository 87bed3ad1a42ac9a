"""A finished update is submitted in the mode of its task, and waits for its group where needed."""

from dataclasses import replace

import pytest

from agent.errors import AegisError, PeerError, UserActionError
from agent.reasons import ReasonCode
from agent.rounds.join_window import MAX_LEAD_S
from agent.rounds.outcome import Outcome
from agent.rounds.submission import MIN_READY_POLL_S
from server_stub.ca.certificates import revocation_list
from tests.fakes.ca import TestAuthority


def announced(fleet, opens_in_s):
    """Let the server announce the join window to every device that asks."""
    opens = fleet.clock.now() + opens_in_s
    fleet.server.lies["offer"] = lambda offer, _: replace(
        offer, round=fleet.server.config, join_opens=opens, join_closes=opens + 60
    )


async def test_a_cycle_polls_for_its_group_as_long_as_it_may_wait(timed_fleet, slept):
    await timed_fleet.join()
    device = timed_fleet.devices[0]
    result = await device.run_cycle(group_wait_s=30)
    assert (result.outcome, result.reasons[0].code) == (Outcome.READY, ReasonCode.NO_ROUND)
    assert "will say when" in result.text
    assert 30 <= sum(slept) <= 30 + MIN_READY_POLL_S
    assert min(slept) >= MIN_READY_POLL_S
    assert device.agent.runner.updates.current is not None


async def test_a_cycle_that_may_not_wait_ends_ready_at_once(timed_fleet, slept):
    await timed_fleet.join()
    assert (await timed_fleet.devices[0].run_cycle()).outcome is Outcome.READY
    assert slept == []


async def test_an_impatient_server_does_not_make_a_cycle_spin(timed_fleet, slept):
    await timed_fleet.join()
    timed_fleet.server.lies["offer"] = lambda offer, _: replace(offer, next_poll_s=0)
    await timed_fleet.devices[0].run_cycle(group_wait_s=30)
    assert slept == [MIN_READY_POLL_S] * (30 // MIN_READY_POLL_S)


async def test_for_a_later_group_the_cycle_ends_and_says_when_it_forms(timed_fleet, slept):
    await timed_fleet.join()
    announced(timed_fleet, 900)
    result = await timed_fleet.devices[0].run_cycle(group_wait_s=60)
    assert result.outcome is Outcome.READY
    assert 900 <= result.reasons[0].until - timed_fleet.clock.now() <= 930
    assert (slept, timed_fleet.server.phases_of()) == ([], [])


async def test_a_near_group_is_waited_for_in_the_same_cycle(timed_fleet, slept):
    await timed_fleet.join()
    announced(timed_fleet, 60)
    timed_fleet.server.fail("advertise", PeerError("ROUND_CLOSED", "Closed.", ""))
    result = await timed_fleet.devices[0].run_cycle()
    assert result.outcome is Outcome.ROUND_CLOSED
    assert 60 <= slept[0] <= 90 <= MAX_LEAD_S


async def test_what_the_outbox_still_has_is_sent_before_a_new_offer_is_asked_for(device):
    await device.join()
    device.server.fail("send_update", UserActionError("OFFLINE", "No network.", ""))
    with pytest.raises(UserActionError):
        await device.run_cycle()
    device.server.fail("send_update", None)
    device.server.calls.clear()
    result = await device.run_cycle()
    assert (result.outcome, result.round_id) == (Outcome.SENT, 1)
    assert device.server.calls == ["send_update"]
    assert device.agent.runner.updates.current is None


@pytest.mark.parametrize("fault", ["missing", "another authority's", "expired", "older"])
async def test_p3_without_a_current_list_of_revoked_certificates_no_group_is_joined(fleet, fault):
    await fleet.join()
    await fleet.train_all_but_last()
    device, now = fleet.devices[0], fleet.clock.now()
    fleet.devices = fleet.devices[:1]
    fleet.server.expected = 1
    authority, other = fleet.server.authority, TestAuthority()

    def revocations(by=authority, number=5, made_at=now):
        return revocation_list(by.certificate, by.key, number, [], made_at)

    if fault == "older":
        device.agent.enrolment_client.revoked(revocations(number=9), device.clock.now())
    crl_pem = {
        "missing": "",
        "another authority's": revocations(by=other),
        "expired": revocations(made_at=now - 3 * 24 * 3600),
        "older": revocations(),
    }[fault]
    fleet.server.lies["offer"] = lambda offer, _: replace(offer, crl_pem=crl_pem)
    (error,) = await fleet.run_cycles()
    assert isinstance(error, AegisError)
    assert error.code == {"expired": "REVOCATIONS_EXPIRED", "older": "REVOCATIONS_OLDER"}.get(
        fault, "REVOCATIONS_BAD"
    )
    assert fleet.server.phases_of() == []
    assert device.agent.ledger.charges() == []
