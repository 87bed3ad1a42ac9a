"""Every connection trusts one root, speaks TLS 1.3 and shows the device's certificate."""

import contextlib
import dataclasses
import ssl

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from agent.errors import AegisError, UserActionError
from agent.identity.identity import IdentityFile
from agent.identity.memory_keystore import MemoryKeyStore
from agent.transport.http import PinnedSession
from agent.transport.tls import client_context
from tests.fakes.ca import DAY, TestAuthority
from tests.fakes.https_server import HttpsServer, Scripted

DEVICE = "urn:uuid:6c1f2b3e-0000-4000-8000-000000000001"


def identity_of(folder, authority, certify=None):
    """Make an identity; `certify` may make a certificate that the device would refuse to store."""
    file = IdentityFile(folder, MemoryKeyStore())
    file.create()
    good = authority.issue_device(file.csr_pem(), DEVICE)
    file.set_certificate(DEVICE, good, authority.pem, "5e" * 16, "")
    identity = file.load()
    return (
        dataclasses.replace(identity, certificate_pem=certify(file.csr_pem()))
        if certify
        else identity
    )


def ask(session, path="/", **options):
    options.setdefault("max_bytes", 1000)
    return session.send("GET", path, **options)


def code_of(session, path="/", **options):
    with pytest.raises(AegisError) as raised:
        ask(session, path, **options)
    assert raised.value.remedy
    return raised.value.code


def test_the_context_trusts_one_root_before_and_after_a_request(server, authority):
    context = client_context(authority.pem)
    assert ask(PinnedSession(server.url, context)).body == b"hello"
    assert len(context.get_ca_certs()) == 1


@pytest.mark.parametrize(
    ("host", "options", "word"),
    [
        ("elsewhere.example", {}, "Hostname mismatch"),
        ("localhost", {"start": -3 * DAY, "end": -DAY}, "expired"),
        ("localhost", {"start": DAY, "end": 3 * DAY}, "not yet valid"),
    ],
)
def test_a_wrong_server_certificate_is_named_and_nothing_is_sent(
    tmp_path, authority, host, options, word
):
    with HttpsServer(tmp_path, *authority.issue_server(host, **options)) as running:
        with pytest.raises(AegisError, match=word) as raised:
            ask(PinnedSession(running.url, client_context(authority.pem)))
        assert raised.value.code == "SERVER_CERTIFICATE"
        assert running.asked == []


def test_a_client_certificate_is_no_servers(tmp_path, authority):
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509 import DNSName

    from tests.fakes.ca import pem

    key = ec.generate_private_key(ec.SECP256R1())
    certificate = authority.issue(
        key.public_key(), [DNSName("localhost")], usage=ExtendedKeyUsageOID.CLIENT_AUTH
    )
    with HttpsServer(tmp_path, certificate, pem(key)) as running:
        assert (
            code_of(PinnedSession(running.url, client_context(authority.pem)))
            == "SERVER_CERTIFICATE"
        )


@pytest.mark.parametrize(
    "ca_pem", ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
)
def test_an_unreadable_root_is_one_clear_error(ca_pem):
    with pytest.raises(AegisError) as raised:
        client_context(ca_pem)
    assert raised.value.code == "SERVER_CERTIFICATE"


def test_two_roots_are_refused(authority):
    with pytest.raises(UserActionError) as raised:
        client_context(authority.pem + TestAuthority("Second").pem)
    assert raised.value.code == "SERVER_CERTIFICATE"


def test_the_certificate_of_a_device_is_no_root(tmp_path, authority):
    identity = identity_of(tmp_path, authority)
    with pytest.raises(UserActionError):
        client_context(identity.certificate_pem)


def handshake(client_side, server_side, host="localhost"):
    """Make a TLS handshake in memory; return the version agreed."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_side.wrap_bio(to_client, to_server, server_hostname=host)
    server = server_side.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(10):
        for side in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return client.version()


@pytest.fixture
def server_context(tmp_path, authority):
    certificate_pem, key_pem = authority.issue_server()
    chain = tmp_path / "chain.pem"
    chain.write_bytes(certificate_pem.encode() + key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return context


def test_tls_1_3_is_spoken_and_tls_1_2_refused(authority, server_context):
    assert handshake(client_context(authority.pem), server_context) == "TLSv1.3"
    server_context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match=r"PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL"):
        handshake(client_context(authority.pem), server_context)


def test_a_certificate_for_another_name_is_refused(authority, server_context):
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(client_context(authority.pem), server_context, "elsewhere.example")


def test_a_server_of_another_authority_is_refused(authority, server_context):
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(client_context(TestAuthority("Another").pem), server_context)


@pytest.mark.parametrize("status", [200, 204, 304])
def test_the_device_shows_its_certificate_and_reuses_the_connection(
    server, authority, tmp_path, status
):
    server.answers["/"] = Scripted(status, b"" if status != 200 else b"hello")
    session = PinnedSession(
        server.url, client_context(authority.pem, identity_of(tmp_path, authority))
    )
    assert [ask(session).status for _ in range(3)] == [status] * 3
    assert {asked.connection for asked in server.asked} == {server.asked[0].connection}
    assert server.asked[0].peer["subjectAltName"] == (("URI", DEVICE),)
    session.close()


def test_p12_the_key_is_never_left_in_a_temporary_file(authority, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    identity = identity_of(tmp_path, authority)
    before = sorted(tmp_path.iterdir())
    client_context(authority.pem, identity)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "certify",
    [
        lambda authority: lambda csr: TestAuthority("Foreign").issue_device(csr, DEVICE),
        lambda authority: lambda csr: authority.issue_device(csr, DEVICE, start=-3 * DAY, end=-DAY),
        lambda authority: lambda csr: authority.issue_device(csr, DEVICE, start=DAY, end=3 * DAY),
        lambda authority: (
            lambda csr: authority.issue_device(csr, DEVICE, usage=ExtendedKeyUsageOID.SERVER_AUTH)
        ),
    ],
    ids=["other authority", "expired", "not yet valid", "server usage"],
)
def test_a_refused_certificate_of_the_device_is_named_as_a_possible_cause(
    server, authority, tmp_path, certify
):
    identity = identity_of(tmp_path, authority, certify(authority))
    with pytest.raises(AegisError, match="refuses this device") as raised:
        ask(PinnedSession(server.url, client_context(authority.pem, identity)))
    assert raised.value.code in {"REJECTED_IDENTITY", "OFFLINE"}
    assert server.asked == []


def test_a_missing_certificate_is_named_as_a_possible_cause(tmp_path, authority):
    with HttpsServer(tmp_path, *authority.issue_server(), authority.pem, demand=True) as running:
        with pytest.raises(AegisError, match="refuses this device") as raised:
            ask(PinnedSession(running.url, client_context(authority.pem)))
        assert raised.value.code in {"REJECTED_IDENTITY", "OFFLINE"}
