"""Signed requests and renewal from the device's side, against a server that spends every nonce
once.
"""

import json

import pytest
from cryptography.x509 import load_pem_x509_csr

from agent.enrolment import renewal
from agent.errors import AegisError
from agent.identity.identity import IdentityFile
from agent.identity.memory_keystore import MemoryKeyStore
from agent.transport.client import AggregatorClient
from agent.transport.signed_connection import MAX_NONCES
from tests.fakes.ca import DAY, now
from tests.fakes.https_server import Scripted
from tests.fakes.nonces import Nonces

DEVICE = "urn:uuid:6c1f2b3e-0000-4000-8000-000000000001"
ERASE = "/api/v1/device"
CHALLENGE = "/api/v1/challenge"


class HandClock:
    def __init__(self, wall=0):
        self.time = 1000.0
        self.wall = wall or int(now().timestamp())

    def now(self):
        return self.wall

    def monotonic(self):
        return self.time


@pytest.fixture
def file(tmp_path, authority):
    made = IdentityFile(tmp_path, MemoryKeyStore())
    made.create()
    made.set_certificate(
        DEVICE, authority.issue_device(made.csr_pem(), DEVICE), authority.pem, "5e" * 16, "ab" * 32
    )
    return made


@pytest.fixture
def nonces(server, file):
    guard = Nonces(file.load().certificate_pem)
    server.answers[CHALLENGE] = guard.challenge
    server.answers[ERASE] = guard.guard(Scripted(204, b""))
    return guard


def client_for(server, authority, file, clock=None):
    return AggregatorClient(server.url, authority.pem, "ab" * 32, file.load(), clock=clock)


def paths(server):
    return [asked.path for asked in server.asked]


def test_one_challenge_then_every_answer_brings_the_next_nonce(server, authority, file, nonces):
    client = client_for(server, authority, file)
    for _ in range(3):
        client.erase()
    client.close()
    assert paths(server) == [CHALLENGE, ERASE, ERASE, ERASE]
    assert len(set(nonces.spent)) == 3


def test_an_old_nonce_is_not_tried(server, authority, file, nonces):
    clock = HandClock()
    client = client_for(server, authority, file, clock)
    client.erase()
    clock.time += 46
    client.erase()
    assert paths(server) == [CHALLENGE, ERASE, CHALLENGE, ERASE]


def test_a_refused_nonce_is_replaced_and_the_body_stays_the_same(server, authority, file, nonces):
    client = client_for(server, authority, file)
    client.erase()
    nonces.live.clear()
    client.erase()
    assert paths(server) == [CHALLENGE, ERASE, ERASE, ERASE]
    assert server.asked[2].body == server.asked[3].body
    assert server.asked[2].headers["Signature"] != server.asked[3].headers["Signature"]


def test_a_server_that_refuses_every_nonce_is_not_asked_for_ever(server, authority, file, nonces):
    server.answers[ERASE] = Scripted(400, b'{"code": "NONCE_EXPIRED"}')
    with pytest.raises(AegisError) as raised:
        client_for(server, authority, file).erase()
    assert raised.value.code == "NONCE_EXPIRED"
    assert paths(server).count(ERASE) == MAX_NONCES


def test_a_refused_signature_is_not_tried_again(server, authority, file, nonces):
    server.answers[ERASE] = Scripted(401, b'{"code": "BAD_REQUEST_SIGNATURE"}')
    with pytest.raises(AegisError) as raised:
        client_for(server, authority, file).erase()
    assert raised.value.code == "BAD_REQUEST_SIGNATURE"
    assert paths(server).count(ERASE) == 1


@pytest.mark.parametrize("days", [-1, 1])
def test_a_device_whose_clock_is_a_day_off_is_served(server, authority, file, nonces, days):
    client_for(server, authority, file, HandClock(int(now().timestamp()) + days * 86400)).erase()
    assert len(nonces.spent) == 1


def renewing(authority, server, nonces):
    """Make the server issue for the key of the request, and count how often it does."""
    issued = []

    def answer(asked):
        csr = json.loads(asked.body)["csr_pem"]
        issued.append(load_pem_x509_csr(csr.encode()).public_key())
        made = {
            "certificate_pem": authority.issue_device(csr, DEVICE, end=14 * DAY),
            "ca_pem": authority.pem,
        }
        return Scripted(body=json.dumps(made).encode())

    server.answers["/api/v1/certificate"] = nonces.guard(answer)
    return issued


def test_renewal_is_due_after_two_thirds(file):
    identity = file.load()
    life = identity.not_after - identity.not_before
    assert not renewal.renewal_due(identity, identity.not_before + life * 2 // 3 - 2)
    assert renewal.renewal_due(identity, identity.not_before + life * 2 // 3 + 2)
    assert renewal.renewal_due(identity, identity.not_after + 86400)


def test_renewal_over_mtls_changes_the_key_and_the_running_client_keeps_its_own(
    server, authority, file, nonces
):
    issued = renewing(authority, server, nonces)
    client = client_for(server, authority, file)
    before = file.load()
    renewal.renew(file, client, authority.pem)
    assert server.asked[-1].peer
    after = file.load()
    assert after.fingerprint != before.fingerprint
    client.erase()  # still signed with the old key, which the guard checks
    client.close()
    assert len(issued) == 1


def test_an_expired_certificate_is_left_away_and_the_old_key_still_signs(
    server, authority, file, nonces
):
    renewing(authority, server, nonces)
    client = client_for(server, authority, file, HandClock(file.load().not_after + 21 * 86400))
    renewal.renew(file, client, authority.pem)
    assert [asked.peer for asked in server.asked] == [{}, {}] or [
        asked.peer for asked in server.asked
    ] == [None, None]
    assert file.load().not_after > now().timestamp() + 10 * 86400


def test_p10_a_renewal_whose_answer_was_lost_comes_back_with_the_same_key(
    server, authority, file, nonces
):
    issued = renewing(authority, server, nonces)
    client = client_for(server, authority, file)
    client.renew(file.renewal_csr_pem())  # the answer is not stored: the process died
    renewal.renew(file, client, authority.pem)
    assert issued[0] == issued[1]
    assert file.load().device_id == DEVICE


def test_a_renewed_certificate_for_another_key_changes_nothing(server, authority, file, nonces):
    before = file.load().fingerprint
    stranger = IdentityFile.csr_pem(file)
    made = {"certificate_pem": authority.issue_device(stranger, DEVICE), "ca_pem": authority.pem}
    server.answers["/api/v1/certificate"] = nonces.guard(Scripted(body=json.dumps(made).encode()))
    with pytest.raises(AegisError, match="another key") as raised:
        renewal.renew(file, client_for(server, authority, file), authority.pem)
    assert raised.value.code == "BAD_CERTIFICATE"
    assert file.load().fingerprint == before
