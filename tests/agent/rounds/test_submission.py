"""A finished update is submitted in the mode of its task; then it is kept or deleted."""

from dataclasses import replace

import pytest

from agent.errors import AegisError
from agent.rounds.outcome import Outcome


@pytest.mark.parametrize("stale", ["", "other authority", "expired", "older"])
async def test_p3_without_a_current_list_of_revoked_certificates_no_group_is_joined(fleet, stale):
    from server_stub.ca.certificates import revocation_list
    from tests.fakes.ca import TestAuthority

    await fleet.join()
    await fleet.train_all_but_last()
    device, now = fleet.devices[0], fleet.clock.now()
    fleet.devices = fleet.devices[:1]
    fleet.server.expected = 1
    authority = fleet.server.authority
    if stale == "older":
        device.agent.enrolment_client.revoked(
            revocation_list(authority.certificate, authority.key, 9, [], now)
        )
    other = TestAuthority()
    lists = {
        "": "",
        "other authority": revocation_list(other.certificate, other.key, 5, [], now),
        "expired": revocation_list(
            authority.certificate, authority.key, 5, [], now - 3 * 24 * 3600
        ),
        "older": revocation_list(authority.certificate, authority.key, 5, [], now),
    }
    fleet.server.lies["offer"] = lambda made, _: replace(made, crl_pem=lists[stale])
    (error,) = await fleet.run_cycles()
    assert isinstance(error, AegisError)
    assert error.code == {"expired": "REVOCATIONS_EXPIRED", "older": "REVOCATIONS_OLDER"}.get(
        stale, "REVOCATIONS_BAD"
    )
    assert fleet.server.phases_of() == []
    assert device.agent.ledger.charges() == []


async def test_a_ready_device_is_told_when_its_group_meets_and_comes_back_for_it(fleet):
    await fleet.join()
    device = fleet.devices[0]

    def later(made, _):
        now = fleet.clock.now()
        return replace(made, round=fleet.server.config, join_opens=now + 900, join_closes=now + 960)

    fleet.server.lies["offer"] = later
    result = await device.run_cycle()
    assert result.outcome is Outcome.READY
    assert 900 <= result.reasons[0].until - fleet.clock.now() <= 930
    assert fleet.server.phases_of() == []
