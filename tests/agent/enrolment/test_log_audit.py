"""A device audits the authority's issuance log once a day and refuses one that was rewritten."""

import logging

import pytest

from agent.enrolment.log_audit import AUDIT_PERIOD_S, ISSUANCE_LOG, LogAuditor
from agent.errors import PeerError, UserActionError
from tests.fakes.aggregator import FakeClient
from tests.fakes.ca import TestAuthority


class AuditedClient(FakeClient):
    """Notes each request for the log; `error` makes them fail."""

    error = None

    def __init__(self, server, identity):
        super().__init__(server, identity)
        self.requests = []

    def _request(self, name):
        self.requests.append(name)
        if self.error is not None:
            raise self.error

    def log_head(self):
        self._request("head")
        return super().log_head()

    def log_proof(self, *arguments):
        self._request("proof")
        return super().log_proof(*arguments)

    def log_consistency(self, *arguments):
        self._request("consistency")
        return super().log_consistency(*arguments)


@pytest.fixture
async def identity(device):
    """Registers the device, whose log this file audits by itself afterwards."""
    await device.join()
    await device.run_cycle()
    device.agent.values.put(ISSUANCE_LOG, None)
    return device.agent.keys.identity_file().load()


@pytest.fixture
def client(device, identity):
    return AuditedClient(device.server, identity)


@pytest.fixture
def audit(device, identity, client):
    agent = device.agent
    auditor = LogAuditor(device.clock, agent.values, agent.blocking_pool.run)

    async def run(certificate_sha256=identity.fingerprint, ca_pem=device.server.authority.pem):
        client.requests.clear()
        await auditor.audit(agent.gate.permit(), client, ca_pem, certificate_sha256)
        return list(client.requests)

    return run


def last(device):
    return device.agent.values.get(ISSUANCE_LOG)


async def test_the_first_audit_proves_that_the_log_holds_the_certificate(device, audit):
    assert await audit() == ["head", "proof"]
    assert (last(device)["size"], last(device)["at"]) == (1, device.clock.now())


async def test_an_audit_is_due_once_a_day(device, audit):
    await audit()
    device.clock.advance(AUDIT_PERIOD_S - 1)
    assert await audit() == []
    device.clock.advance(1)
    device.server.log.append(b"another device's")
    assert await audit() == ["head", "proof", "consistency"]
    assert last(device)["size"] == 2


async def test_an_audit_is_due_when_the_clock_was_set_back(device, audit):
    await audit()
    device.clock.wall -= 1
    assert await audit() == ["head", "proof", "consistency"]


async def test_a_new_certificate_is_audited_at_once(device, audit):
    await audit()
    csr_pem = device.agent.keys.identity_file().csr_pem()
    device.server.issue(csr_pem, "urn:uuid:00000000-0000-4000-8000-000000000001")
    fingerprint = device.server.log[-1].split(b'"certificate_sha256":"')[1][:64].decode()
    assert await audit(certificate_sha256=fingerprint) == ["head", "proof", "consistency"]
    assert last(device)["certificate"] == fingerprint


async def test_another_authority_has_a_log_of_its_own(device, audit, client):
    await audit()
    device.server.authority = TestAuthority("Another")
    device.server.log = [b"its first entry", *device.server.log]
    assert await audit(ca_pem=device.server.authority.pem) == ["head", "proof"]


def rewritten(log):
    return [b"forged", *log]


def replaced(log):
    return [log[0], b"forged", b"more"]


def shortened(log):
    return log[:1]


@pytest.mark.parametrize("forge", [rewritten, replaced, shortened])
async def test_a_log_that_contradicts_the_last_audit_is_refused_until_it_is_honest_again(
    device, audit, forge
):
    device.server.log.append(b"another device's")
    await audit()
    noted, honest = last(device), list(device.server.log)
    device.clock.advance(AUDIT_PERIOD_S)
    device.server.log = forge(honest)
    for _ in range(2):
        with pytest.raises(PeerError) as raised:
            await audit()
        assert raised.value.code == "ISSUANCE_LOG"
    assert last(device) == noted
    device.server.log = honest
    await audit()
    assert last(device)["at"] == device.clock.now()


async def test_a_log_that_became_shorter_is_refused_before_it_is_asked_for_more(
    device, audit, client
):
    device.server.log.append(b"another device's")
    await audit()
    device.clock.advance(AUDIT_PERIOD_S)
    del device.server.log[-1]
    with pytest.raises(PeerError, match="shorter"):
        await audit()
    assert client.requests == ["head"]


async def test_a_log_without_this_devices_certificate_is_refused(
    device, audit, identity, client, monkeypatch
):
    proof = client.log_proof
    monkeypatch.setattr(client, "log_proof", lambda _, size: proof(identity.fingerprint, size))
    with pytest.raises(PeerError, match="does not hold"):
        await audit(certificate_sha256="00" * 32)
    assert last(device) is None


async def test_a_head_signed_by_another_key_is_refused(device, audit):
    genuine = device.server.authority.pem
    device.server.authority = TestAuthority("Forger")
    with pytest.raises(PeerError) as raised:
        await audit(ca_pem=genuine)
    assert raised.value.code == "ISSUANCE_LOG"
    assert last(device) is None


async def test_a_log_that_cannot_be_fetched_is_audited_by_the_next_connection(
    device, audit, client, caplog
):
    client.error = PeerError("SERVER_ERROR", "It failed.", "")
    with caplog.at_level(logging.WARNING):
        assert await audit() == ["head"]
    assert [record.message for record in caplog.records] == [
        "issuance_log.not_checked code=SERVER_ERROR"
    ]
    assert last(device) is None
    client.error = None
    assert await audit() == ["head", "proof"]


async def test_p2_a_withdrawal_during_the_audit_ends_it(device, client, audit):
    permit = device.agent.gate.permit()
    await device.call("consent.withdraw", surface="tray")
    auditor = LogAuditor(device.clock, device.agent.values, device.agent.blocking_pool.run)
    with pytest.raises(UserActionError) as raised:
        await auditor.audit(permit, client, device.server.authority.pem, "00" * 32)
    assert raised.value.code == "NO_CONSENT"
    assert client.requests == []


async def test_every_connection_audits_the_log_and_doctor_shows_the_result(device):
    await device.join()
    await device.run_cycle()
    checks = {check["name"]: check for check in (await device.call("doctor"))["checks"]}
    assert checks["issuance log"]["ok"]
    assert checks["issuance log"]["value"].startswith("1 entry, this certificate")
    device.server.log = [b"forged", *device.server.log]
    device.clock.advance(AUDIT_PERIOD_S)
    with pytest.raises(PeerError) as raised:
        await device.run_cycle()
    assert raised.value.code == "ISSUANCE_LOG"
