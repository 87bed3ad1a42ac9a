"""A certificate is renewed after two thirds of its life; an interrupted renewal is completed."""

import json

import pytest
from cryptography.x509 import load_pem_x509_csr

from agent.enrolment.renewal import renew, renewal_due
from agent.errors import AegisError
from agent.identity.identity import IdentityFile
from agent.transport.client import AggregatorClient
from tests.agent.transport.conftest import DEVICE_ID
from tests.fakes.ca import DAY, TestAuthority, now
from tests.fakes.clock import FakeClock
from tests.fakes.https_server import Scripted

DAY_S = 24 * 3600


@pytest.fixture
def client_at(server, authority, identity_file):
    """Makes the device's client at a time."""
    opened = []

    def make(seconds):
        client = AggregatorClient(
            server.url, authority.pem, "ab" * 32, identity_file.load(), clock=FakeClock(seconds)
        )
        opened.append(client)
        return client

    yield make
    for client in opened:
        client.close()


@pytest.fixture
def client(client_at):
    return client_at(int(now().timestamp()))


@pytest.fixture
def issued_for(authority, server, nonces):
    """Makes the server issue certificates; the keys that it issued them for."""
    keys = []

    def issue(request):
        csr_pem = json.loads(request.body)["csr_pem"]
        keys.append(load_pem_x509_csr(csr_pem.encode()).public_key())
        certificate_pem = authority.issue_device(csr_pem, DEVICE_ID, end=14 * DAY)
        return Scripted(
            body=json.dumps({"certificate_pem": certificate_pem, "ca_pem": authority.pem}).encode()
        )

    server.answers["/api/v1/certificate"] = nonces.guard(issue)
    return keys


def test_renewal_is_due_after_two_thirds_of_the_certificates_life(identity_file):
    identity = identity_file.load()
    life_s = identity.not_after - identity.not_before
    assert not renewal_due(identity, identity.not_before + life_s * 2 // 3 - 2)
    assert renewal_due(identity, identity.not_before + life_s * 2 // 3 + 2)
    assert renewal_due(identity, identity.not_after + DAY_S)


def test_a_renewal_changes_the_key_and_the_running_client_keeps_its_own(
    server, authority, identity_file, client, issued_for
):
    before = identity_file.load()
    renew(identity_file, client, authority.pem)
    assert server.asked[-1].peer
    assert identity_file.load().fingerprint != before.fingerprint
    client.erase()  # signed with the old key, which the server checks
    assert len(issued_for) == 1


def test_an_expired_certificate_is_not_shown_and_the_old_key_still_signs(
    server, authority, identity_file, client_at, issued_for
):
    client = client_at(identity_file.load().not_after + 21 * DAY_S)
    renew(identity_file, client, authority.pem)
    assert not any(request.peer for request in server.asked)
    assert len(issued_for) == 1
    assert identity_file.load().not_after > now().timestamp() + 10 * DAY_S


def test_p10_a_renewal_whose_response_was_lost_is_completed_with_the_same_key(
    authority, identity_file, client, issued_for
):
    client.renew(identity_file.renewal_csr_pem())  # never stored: the process died
    renew(identity_file, client, authority.pem)
    assert issued_for[0] == issued_for[1]
    assert identity_file.load().device_id == DEVICE_ID


def test_a_certificate_for_another_key_changes_nothing(
    server, authority, identity_file, client, nonces
):
    before = identity_file.load().fingerprint
    old_key_csr_pem = IdentityFile.csr_pem(identity_file)
    certificate_pem = authority.issue_device(old_key_csr_pem, DEVICE_ID)
    body = json.dumps({"certificate_pem": certificate_pem, "ca_pem": authority.pem}).encode()
    server.answers["/api/v1/certificate"] = nonces.guard(Scripted(body=body))
    with pytest.raises(AegisError, match="another key") as raised:
        renew(identity_file, client, authority.pem)
    assert raised.value.code == "BAD_CERTIFICATE"
    assert identity_file.load().fingerprint == before


def test_a_certificate_of_another_authority_changes_nothing(
    server, authority, identity_file, client, nonces
):

    before = identity_file.load().fingerprint
    stranger = TestAuthority("Stranger")

    def issue(request):
        csr_pem = json.loads(request.body)["csr_pem"]
        certificate_pem = stranger.issue_device(csr_pem, DEVICE_ID)
        return Scripted(
            body=json.dumps({"certificate_pem": certificate_pem, "ca_pem": authority.pem}).encode()
        )

    server.answers["/api/v1/certificate"] = nonces.guard(issue)
    with pytest.raises(AegisError) as raised:
        renew(identity_file, client, authority.pem)
    assert raised.value.code == "BAD_CERTIFICATE"
    assert identity_file.load().fingerprint == before
