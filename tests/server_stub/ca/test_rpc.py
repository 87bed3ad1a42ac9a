"""The authority behind its socket."""

import errno
import json
import threading
import time
from contextlib import closing, contextmanager, suppress

import pytest
from cryptography import x509

from agent.errors import PeerError
from agent.protocol.revocations import read_revocations
from agent.protocol.witness import DrawRequest
from server_stub.ca import certificates, rpc
from server_stub.ca.authority import Authority, SignedRequest, create
from server_stub.ca.rpc import (
    MAX_REQUEST_BYTES,
    SOCKET_FILE,
    AuthorityServer,
    RemoteAuthority,
    connect,
    is_listening,
    methods,
)
from server_stub.config.home import CA_CERTIFICATE_FILE, CA_KEY_FILE
from server_stub.errors import BusyError
from tests.fakes.clock import FakeClock
from tests.fakes.timeouts import until

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
    with closing(Authority(folder, clock)) as opened:
        yield opened


@contextmanager
def serving(folder, authority):
    with AuthorityServer(folder, authority) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def remote(folder, authority):
    """A client of an authority that listens."""
    with (
        serving(folder, authority),
        closing(RemoteAuthority(folder, authority.ca_pem, lambda: None)) as client,
    ):
        yield client


def enrolled(authority, key):
    return authority.enrol(authority.add_token(1, 900), csr(key))


def csr(key):
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    request = builder.sign(key, certificates.SHA256())
    return request.public_bytes(certificates.Encoding.PEM).decode()


def test_every_answer_is_the_authoritys_own(folder, authority):
    key, token = certificates.new_key(), authority.add_token(1, 900)
    with remote(folder, authority) as client:
        issued = client.enrol(token, csr(key))
        assert issued == authority.enrol(token, csr(key))
        device_id = issued.device_id
        assert client.device_record(device_id) == authority.device_record(device_id)
        (certificate,) = client.device_record(device_id)["certificates"]
        assert client.log_proof(certificate["sha256"]) == authority.log_proof(certificate["sha256"])
        assert client.log_head()["root"] == authority.log_head()["root"]
        assert client.log_consistency(1) == authority.log_consistency(1)
        request = DrawRequest("task", 7, b"c" * 32, 64, b"l" * 32)
        assert client.witness(request) == authority.witness(request)
        assert client.revoke(device_id)
        assert not client.revoke("urn:uuid:unknown")
        assert client.revoke(device_id, forget=True)
        assert client.device_record(device_id) == {}


def test_an_error_keeps_its_code_and_its_sentences(folder, authority):
    request = SignedRequest("POST", "h", "/api/v1/certificate", {}, b"\x00\xff")
    with remote(folder, authority) as client:
        for call in (
            lambda one: one.enrol("unknown", csr(certificates.new_key())),
            lambda one: one.renew(request),
            lambda one: one.log_proof("00" * 32),
        ):
            with pytest.raises(PeerError) as own:
                call(authority)
            with pytest.raises(PeerError) as sent:
                call(client)
            assert (sent.value.code, sent.value.message, sent.value.remedy) == (
                own.value.code,
                own.value.message,
                own.value.remedy,
            )


def test_a_revocation_list_of_many_certificates_arrives_whole(
    folder, authority, clock, monkeypatch
):
    issuer = x509.load_pem_x509_certificate((folder / CA_CERTIFICATE_FILE).read_bytes())
    key = certificates.load_key((folder / CA_KEY_FILE).read_bytes())
    revoked = [(2**150 + number, clock.now()) for number in range(MANY)]
    listed = certificates.revocation_list(issuer, key, clock.now(), revoked, clock.now())
    monkeypatch.setattr(authority, "revocations", lambda: listed)
    assert len(listed) > 512 * 1024
    with remote(folder, authority) as client:
        received = read_revocations(client.revocations(), authority.ca_pem, clock.now())
    assert len(received.serials) == MANY


def test_creating_tokens_is_no_remote_method(authority):
    assert "add_token" not in methods(authority)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"7",
        b"[]",
        b"[" * 100_000,
        b"\xff",
        b'{"method": "add_token", "values": {"uses": 1, "ttl_s": 9}}',
        b'{"method": "close", "values": {}}',
        b'{"method": "__init__", "values": {}}',
        b'{"method": "log_head"}',
        b'{"method": "log_head", "values": {"more": 1}}',
        b'{"method": "revoke", "values": []}',
        b'{"method": ["log_head"], "values": {}}',
        b'{"method": "renew", "values": {"body": "\\u00e9"}}',
    ],
)
def test_a_malformed_call_is_refused_and_the_connection_goes_on(folder, authority, line):
    call = b'{"method": "log_head", "values": {}}\n'
    with serving(folder, authority), closing(connect(folder)) as connection:
        connection.sendall(line + b"\n" + call)
        with connection.makefile("rb") as responses:
            assert json.loads(responses.readline())["error"]["code"] == "BAD_MESSAGE"
            assert json.loads(responses.readline())["result"]["size"] == 0


def test_a_line_that_is_too_long_ends_its_connection_only(folder, authority):
    with serving(folder, authority):
        with closing(connect(folder)) as connection:
            connection.sendall(b" " * MAX_REQUEST_BYTES)
            assert connection.recv(1) == b""
        assert is_listening(folder)


def test_a_client_connects_again_after_a_restart_of_the_authority(folder, authority):
    with closing(RemoteAuthority(folder, authority.ca_pem, lambda: None)) as client:
        for _ in range(2):
            with serving(folder, authority):
                assert client.log_head()["size"] == 0


def test_an_authority_that_stays_away_is_busy(folder, authority):
    attempts = []
    client = RemoteAuthority(folder, authority.ca_pem, lambda: attempts.append(1))
    with pytest.raises(BusyError) as refused:
        client.log_head()
    assert (refused.value.code, refused.value.retry_after_s) == ("CA_UNREACHABLE", 10)
    assert len(attempts) == 2


def test_the_socket_is_its_owners_alone_and_may_have_a_long_path(tmp_path, clock):
    folder = tmp_path / ("x" * 120) / "ca"
    folder.parent.mkdir()
    create(folder, "Test authority", clock.now())
    with closing(Authority(folder, clock)) as authority, remote(folder, authority) as client:
        assert client.log_head()["size"] == 0
        assert (folder / SOCKET_FILE).stat().st_mode & 0o777 == 0o600
        assert folder.stat().st_mode & 0o777 == 0o700


def test_p11_beyond_the_most_connections_one_is_closed_and_an_earlier_one_still_served(
    folder, authority, monkeypatch
):
    monkeypatch.setattr(rpc, "MAX_CONNECTIONS", 2)
    with serving(folder, authority), closing(connect(folder)) as first:
        assert call(first)
        with closing(connect(folder)) as second, closing(connect(folder)) as third:
            assert call(second)
            assert third.recv(10) == b""
            assert call(first)
        until(lambda: served_again(folder), what="a free thread")


def served_again(folder):
    with closing(connect(folder)) as again, suppress(OSError, ValueError):
        return call(again)


def call(connection):
    """Whether the authority answers over this connection."""
    connection.sendall(b'{"method": "log_head", "values": {}}\n')
    return "result" in json.loads(connection.recv(65536))


class FullListener:
    """A listener that cannot accept while `is_full`."""

    def __init__(self, listener):
        self.listener, self.is_full, self.attempts = listener, True, 0

    def accept(self):
        if self.is_full:
            self.attempts += 1
            raise OSError(errno.EMFILE, "no more")
        return self.listener.accept()

    def __getattr__(self, name):
        return getattr(self.listener, name)


def test_p11_without_a_free_descriptor_the_authority_rests_and_then_goes_on(
    folder, authority, monkeypatch
):
    monkeypatch.setattr(rpc, "REST_S", 0.05)
    with serving(folder, authority) as server:
        server.socket = full = FullListener(server.socket)
        start_s = time.monotonic()
        with closing(connect(folder)) as waiting:
            until(lambda: full.attempts > 2, what="a few attempts")
            assert full.attempts <= (time.monotonic() - start_s) / 0.05 + 2
            full.is_full = False
            assert call(waiting)
