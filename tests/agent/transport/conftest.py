"""A certificate authority, a device of it, and a scripted HTTPS server that checks both."""

import pytest

from agent.identity.identity import IdentityFile
from agent.identity.memory_keystore import MemoryKeyStore
from tests.fakes.ca import TestAuthority
from tests.fakes.https_server import HttpsServer, Scripted
from tests.fakes.nonces import Nonces

DEVICE_ID = "urn:uuid:6c1f2b3e-0000-4000-8000-000000000001"
CHALLENGE = "/api/v1/challenge"
ERASE = "/api/v1/device"


@pytest.fixture(scope="session")
def authority():
    return TestAuthority()


@pytest.fixture
def server(tmp_path, authority):
    """Asks for client certificates and accepts those of `authority`."""
    with HttpsServer(tmp_path, *authority.issue_server(), authority.pem) as running:
        running.answers["/"] = Scripted(body=b"hello")
        running.answers[CHALLENGE] = Scripted(body=b'{"nonce": "n"}')
        yield running


@pytest.fixture
def identity_file(tmp_path, authority):
    """The identity of a registered device."""
    file = IdentityFile(tmp_path, MemoryKeyStore())
    file.create()
    certificate_pem = authority.issue_device(file.csr_pem(), DEVICE_ID)
    file.set_certificate(DEVICE_ID, certificate_pem, authority.pem, "5e" * 16, "ab" * 32)
    return file


@pytest.fixture
def nonces(server, identity_file):
    """Makes the server demand signatures of the device, each over a fresh nonce."""
    guard = Nonces(identity_file.load().certificate_pem)
    server.answers[CHALLENGE] = guard.challenge
    server.answers[ERASE] = guard.guard(Scripted(204, b""))
    return guard
