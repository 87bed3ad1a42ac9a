"""The authority behind its socket."""

import threading
import time
from contextlib import contextmanager

import pytest
from cryptography import x509

from agent.protocol.revocations import read_revocations
from server_stub.ca import certificates
from server_stub.ca.authority import Authority, create
from server_stub.ca.rpc import AuthorityServer, RemoteAuthority
from server_stub.config.home import CA_CERTIFICATE_FILE, CA_KEY_FILE
from tests.fakes.clock import FakeClock

MANY = 12_000


@pytest.fixture
def clock():
    return FakeClock(int(time.time()))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "ca"


@pytest.fixture
def authority(folder, clock):
    create(folder, "Test authority", clock.now())
    made = Authority(folder, clock)
    yield made
    made.close()


@contextmanager
def remote(folder, authority):
    """The same authority, asked over its socket."""
    server = AuthorityServer(folder, authority)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    made = RemoteAuthority(folder, authority.ca_pem, lambda: None)
    try:
        yield made
    finally:
        made.close()
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_list_of_many_revoked_certificates_comes_whole(folder, authority, clock, monkeypatch):
    issuer = x509.load_pem_x509_certificate((folder / CA_CERTIFICATE_FILE).read_bytes())
    key = certificates.load_key((folder / CA_KEY_FILE).read_bytes())
    revoked = [(2**150 + number, clock.now()) for number in range(MANY)]
    listed = certificates.revocation_list(issuer, key, clock.now(), revoked, clock.now())
    monkeypatch.setattr(authority, "revocations", lambda: listed)
    assert len(listed) > 512 * 1024
    with remote(folder, authority) as asked:
        assert (
            len(read_revocations(asked.revocations(), authority.ca_pem, clock.now()).serials)
            == MANY
        )
