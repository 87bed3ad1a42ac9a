"""A certificate authority and a scripted HTTPS server that asks for client certificates."""

import pytest

from tests.fakes.ca import TestAuthority
from tests.fakes.https_server import HttpsServer, Scripted


@pytest.fixture(scope="session")
def authority():
    return TestAuthority()


@pytest.fixture
def server(tmp_path, authority):
    with HttpsServer(tmp_path, *authority.issue_server(), authority.pem) as running:
        running.answers["/"] = Scripted(body=b"hello")
        running.answers["/api/v1/challenge"] = Scripted(body=b'{"nonce": "n"}')
        yield running
