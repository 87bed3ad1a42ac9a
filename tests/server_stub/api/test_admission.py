"""The device port as a stranger, a thief and a fuzzer meet it: raw requests over TLS."""

import datetime
import shutil
import ssl
import time
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.errors import AegisError
from agent.identity.signer import SoftwareSigner
from agent.transport.client import AggregatorClient
from agent.transport.tls import client_context
from server_stub.api.admission import Access, rules
from server_stub.ca import certificates, server_certificate
from server_stub.ca.authority import create
from server_stub.config.limits import DevicePortLimits, Rate, Rates
from tests.fakes.live_server import LiveServer
from tests.fakes.raw_requests import (
    ENVELOPE,
    JSON,
    nonce,
    open_connection,
    problem_code,
    read_to_end,
    request,
    signed_headers,
)

OFFER, UPDATES = "/api/v1/rounds/offer", "/api/v1/updates"
DAY_S = 86_400
SLOW_BODY = DevicePortLimits(body_s=0.4, body_bytes_per_s=100_000)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with LiveServer(
        tmp_path_factory.mktemp("admission"), epsilon_milli=8000, lifetime_epsilon_milli=8000
    ) as running:
        yield running


def refusal(server, method, path, body=None, headers=None, identity=None):
    return problem_code(request(server, method, path, body, headers, identity))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("GET", "/metrics"),
        ("GET", "/api/v1/stats"),
        ("GET", "/api/v1/model"),
        ("GET", OFFER),
        ("GET", "/api/v1/device"),
        ("GET", "/x"),
        ("POST", UPDATES),
        ("POST", "/api/v1/rounds/1/advertise"),
        ("PUT", "/healthz"),
        ("POST", "/healthz"),
    ],
)
def test_a_route_that_is_not_public_needs_a_certificate(server, method, path):
    body = None if method == "GET" else b""
    assert refusal(server, method, path, body) == "NO_IDENTITY"


def test_public_files_are_those_of_the_repository_only(server):
    assert request(server, "GET", "/healthz")[0] == 200
    assert request(server, "GET", "/api/v1/metadata/timestamp.json")[0] == 200
    assert request(server, "GET", "/api/v1/metadata/..%2f..%2fserver.json")[0] in (400, 401, 404)
    assert request(server, "GET", "/api/v1/targets/../keys/online.pem")[0] in (400, 401, 404)
    longer_than_a_file_name = "/api/v1/targets/" + 256 * "a"
    assert request(server, "GET", longer_than_a_file_name)[0] == 404
    assert request(server, "GET", "/api/v1/targets/models/../../keys/online.pem")[0] in (400, 404)


def test_a_route_without_a_rule_needs_a_certificate_and_a_signature():
    rule = rules(lambda: 1000)
    assert rule("PATCH", UPDATES).access is Access.CERTIFICATE
    assert rule("GET", "/api/v1/register").access is Access.CERTIFICATE
    assert rule("POST", "/api/v1/register/").access is Access.CERTIFICATE
    assert rule("POST", UPDATES).max_bytes == 1000


def test_a_certificate_of_another_authority_opens_no_connection(server, tmp_path):
    with LiveServer(tmp_path) as other:
        identity = other.enrol().file.load()
        with pytest.raises((ssl.SSLError, OSError)):
            request(server, "GET", OFFER, identity=identity)


@pytest.mark.parametrize(
    ("start_s", "end_s", "usage"),
    [
        (-9 * DAY_S, -2 * DAY_S, "CLIENT_AUTH"),
        (DAY_S, 8 * DAY_S, "CLIENT_AUTH"),
        (-DAY_S, DAY_S, "SERVER_AUTH"),
        (-DAY_S, DAY_S, "CODE_SIGNING"),
    ],
    ids=["expired", "not yet valid", "a server's", "for another use"],
)
def test_a_certificate_for_another_time_or_use_opens_no_connection(server, start_s, end_s, usage):
    identity = with_certificate(server, start_s, end_s, usage)
    with pytest.raises((ssl.SSLError, OSError)):
        request(server, "GET", OFFER, identity=identity)


def test_a_valid_certificate_that_the_aggregator_does_not_know_is_refused(server):
    identity = with_certificate(server, -DAY_S, DAY_S, "CLIENT_AUTH")
    assert refusal(server, "GET", OFFER, identity=identity) == "REJECTED_IDENTITY"
    device = server.enrol()
    server.view.devices.erase(device.device_id)
    assert refusal(server, "GET", OFFER, identity=device.file.load()) == "REJECTED_IDENTITY"


def with_certificate(server, start_s, end_s, usage):
    """A new device whose certificate the authority's key signed for other times and uses.

    Both times are seconds from now.
    """
    device = server.enrol()
    key = certificates.load_key((server.home.authority / "ca.key").read_bytes())
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(
        x509.load_pem_x509_certificate(server.home.ca_pem.encode()).subject,
        x509.Name([]),
        x509.load_pem_x509_csr(device.file.csr_pem().encode()).public_key(),
        x509.random_serial_number(),
        now + datetime.timedelta(seconds=start_s),
        now + datetime.timedelta(seconds=end_s),
    )
    names = [x509.UniformResourceIdentifier(device.device_id)]
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    uses = [getattr(ExtendedKeyUsageOID, usage)]
    builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    certificate = certificates.pem(builder.sign(key, SHA256()))
    return replace(device.file.load(), certificate_pem=certificate)


def test_after_a_change_of_the_authoritys_key_server_and_devices_refuse_each_other(tmp_path):
    with LiveServer(tmp_path) as server:
        device, old = server.enrol(), server.home.ca_pem
    shutil.rmtree(server.home.authority)
    create(server.home.authority, "another", int(time.time()))
    server_certificate.issue(server.home, server.settings, int(time.time()))
    with LiveServer(tmp_path, clock=server.clock) as changed:
        client = AggregatorClient(changed.url, old, changed.signing_key, device.file.load())
        for call in (client.offer, lambda: client.renew(device.file.renewal_csr_pem())):
            with pytest.raises(AegisError) as refused:
                call()
            assert refused.value.code == "SERVER_CERTIFICATE"
        client.close()
        with pytest.raises((ssl.SSLError, OSError)):
            request(changed, "GET", OFFER, identity=device.file.load())


def test_a_stolen_certificate_is_useless_without_its_key(server):
    device, other = server.enrol(), server.enrol()
    mixed = replace(device.file.load(), certificate_pem=other.file.load().certificate_pem)
    with pytest.raises(ssl.SSLError):
        client_context(server.home.ca_pem, mixed)


def test_a_replayed_request_is_refused_byte_for_byte_and_altered(server):
    device = server.enrol()
    identity = device.file.load()
    body = device.update()
    headers = signed_headers(server, device, body)
    first = request(server, "POST", UPDATES, body, headers, identity)
    assert first[0] == 200
    assert "replay-nonce" in first[1]
    before = device.client.device()
    assert refusal(server, "POST", UPDATES, body, headers, identity) == "NONCE_SPENT"
    for path, altered in (
        (UPDATES, body + b"x"),
        ("/api/v1/rounds/1/leave", body),
        (f"{UPDATES}?x=1", body),
    ):
        code = refusal(server, "POST", path, altered, headers, identity)
        assert (path, code) == (path, "BAD_REQUEST_SIGNATURE")
    assert device.client.device() == before
    fresh = signed_headers(server, device, body, nonce_text=first[1]["replay-nonce"])
    assert request(server, "POST", UPDATES, body, fresh, identity)[2] == first[2]


def test_a_signature_by_another_key_is_refused(server):
    device, other = server.enrol(), server.enrol()
    body, identity = device.update(), device.file.load()
    stranger = SoftwareSigner(ec.generate_private_key(ec.SECP256R1()))
    for headers in (
        signed_headers(server, other, body),
        signed_headers(server, device, body, signer=stranger),
        {"Content-Type": ENVELOPE},
    ):
        code = refusal(server, "POST", UPDATES, body, headers, identity)
        assert code == "BAD_REQUEST_SIGNATURE"


def test_a_nonce_of_another_device_or_time_is_refused(server):
    device, other = server.enrol(), server.enrol()
    body, identity = device.update(), device.file.load()
    foreign = signed_headers(server, device, body, nonce_text=nonce(server, other.device_id))
    assert refusal(server, "POST", UPDATES, body, foreign, identity) == "NONCE_EXPIRED"
    old = signed_headers(server, device, body)
    server.clock.advance(61)
    assert refusal(server, "POST", UPDATES, body, old, identity) == "NONCE_EXPIRED"


def test_a_body_that_is_too_large_is_refused_before_it_is_read(server):
    identity = server.enrol().file.load()
    length = {"Content-Length": str(10**9)}
    assert refusal(server, "POST", UPDATES, b"", length, identity) == "TOO_LARGE"
    assert refusal(server, "POST", "/api/v1/register", b"x" * 20_000, JSON) == "TOO_LARGE"
    endless = (b"x" * 1024 for _ in range(64))
    assert refusal(server, "POST", "/api/v1/register", endless, JSON) == "TOO_LARGE"


@pytest.mark.parametrize("length", ["-1", "1e3", "٣", "0x10"])
def test_a_length_that_is_no_number_is_refused(server, length):
    connection = open_connection(server)
    head = f"POST /api/v1/register HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
    connection.sendall(head.encode())
    assert read_to_end(connection)[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 413")


def test_a_body_that_does_not_arrive_is_answered_and_cut_off(tmp_path):
    with LiveServer(tmp_path, limits=SLOW_BODY) as server:
        connection = open_connection(server)
        connection.sendall(
            b"POST /api/v1/register HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{"
        )
        answer = read_to_end(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer.lower()
    assert b"TOO_SLOW" in answer


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    body=st.binary(max_size=700),
    prefix=st.sampled_from([b"", b"AEG1", b"AEG1\0\0\0\x02{}", b"AEG1\0\0\0\xff{"]),
    path=st.sampled_from(
        [
            "updates",
            "rounds/1/advertise",
            "rounds/1/shares",
            "rounds/1/consistency",
            "rounds/1/unmask",
            "rounds/1/leave",
        ]
    ),
)
def test_p11_no_body_brings_the_server_down(unlimited, body, prefix, path):
    server, device = unlimited
    body, path = prefix + body, f"/api/v1/{path}"
    headers = signed_headers(server, device, body, path=path)
    status, _, _ = request(server, "POST", path, body, headers, device.file.load())
    assert 400 <= status < 500
    record = device.client.device()
    assert (record["updates"], record["messages"]) == ([], [])


@pytest.fixture(scope="module")
def unlimited(tmp_path_factory):
    """A server without limits on rates, and a device."""
    generous = Rate(1_000_000, 100_000.0)
    with LiveServer(tmp_path_factory.mktemp("unlimited"), rates=Rates(*[generous] * 5)) as running:
        yield running, running.enrol()
