"""The device port as a stranger, a thief and a fuzzer meet it: raw requests over TLS."""

import contextlib
import datetime
import json
import shutil
import ssl
import time
from dataclasses import replace
from http.client import HTTPSConnection
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.errors import AegisError
from agent.identity.identity import SoftwareSigner
from agent.protocol.http_signature import sign_request
from agent.transport.client import AggregatorClient
from agent.transport.tls import client_context
from server_stub.api.admission import Access, rules
from server_stub.ca import certificates as x
from server_stub.ca import server_certificate
from server_stub.ca.authority import create
from tests.fakes.live_server import LiveServer

ENVELOPE = "application/vnd.aegisai.envelope"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with LiveServer(
        tmp_path_factory.mktemp("door"), epsilon_milli=8000, lifetime_epsilon_milli=8000
    ) as server:
        yield server


def ask(server, method, path, body=None, headers=None, identity=None):
    parts = urlsplit(server.url)
    connection = HTTPSConnection(
        parts.hostname, parts.port, context=client_context(server.home.ca_pem, identity), timeout=60
    )
    with contextlib.suppress(
        BrokenPipeError, ssl.SSLEOFError
    ):  # answered and closed before the body was out
        connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), content


def code(answer):
    status, headers, content = answer
    problem = json.loads(content)
    assert headers["content-type"] == "application/problem+json"
    assert set(problem) == {"type", "title", "status", "detail", "code", "remedy"}
    assert problem["status"] == status
    return problem["code"]


def signed(server, device, body, *, nonce=None, path="/api/v1/updates", method="POST", signer=None):
    nonce = nonce or json.loads(challenge(server, device.device_id)[2])["nonce"]
    identity = device.file.load()
    return sign_request(
        method,
        urlsplit(server.url).netloc,
        path,
        ENVELOPE,
        body,
        device_id=device.device_id,
        nonce=nonce,
        created=server.clock.now(),
        sign=(signer or identity.signer).sign,
    )


def challenge(server, device_id):
    return ask(
        server,
        "POST",
        "/api/v1/challenge",
        json.dumps({"device_id": device_id}),
        {"Content-Type": "application/json"},
    )


def test_without_a_certificate_there_is_nothing_but_the_public_list(shared):
    for path in (
        "/",
        "/docs",
        "/openapi.json",
        "/metrics",
        "/api/v1/stats",
        "/api/v1/model",
        "/api/v1/rounds/offer",
        "/api/v1/device",
        "/x",
    ):
        assert (code(ask(shared, "GET", path)), path) == ("NO_IDENTITY", path)
    for method, path in (
        ("POST", "/api/v1/updates"),
        ("POST", "/api/v1/rounds/1/advertise"),
        ("PUT", "/healthz"),
        ("POST", "/healthz"),
    ):
        assert (code(ask(shared, method, path, b"")), path) == ("NO_IDENTITY", path)
    assert ask(shared, "GET", "/healthz")[0] == 200
    assert ask(shared, "GET", "/api/v1/metadata/timestamp.json")[0] == 200
    assert ask(shared, "GET", "/api/v1/metadata/..%2f..%2fserver.json")[0] in (400, 401, 404)
    assert ask(shared, "GET", "/api/v1/targets/../keys/online.pem")[0] in (400, 401, 404)
    assert (
        ask(shared, "GET", "/api/v1/targets/" + 256 * "a")[0] == 404
    )  # longer than a file's name can be
    assert ask(shared, "GET", "/api/v1/targets/models/../../keys/online.pem")[0] in (400, 404)


def test_a_route_that_nobody_thought_of_needs_certificate_and_signature():
    rule = rules(lambda: 1000)
    assert rule("PATCH", "/api/v1/updates").access is Access.CERTIFICATE
    assert rule("GET", "/api/v1/register").access is Access.CERTIFICATE
    assert rule("POST", "/api/v1/register/").access is Access.CERTIFICATE
    assert rule("POST", "/api/v1/updates").max_bytes == 1000


def test_certificates_of_another_authority_and_of_a_server_are_refused(shared, tmp_path):
    with LiveServer(tmp_path) as other:
        stranger = other.enrol()
        with pytest.raises((ssl.SSLError, OSError)):
            ask(shared, "GET", "/api/v1/rounds/offer", identity=stranger.file.load())


DAY = 86_400


@pytest.mark.parametrize(
    ("start", "end", "usage"),
    [
        (-9 * DAY, -2 * DAY, "CLIENT_AUTH"),
        (DAY, 8 * DAY, "CLIENT_AUTH"),
        (-DAY, DAY, "SERVER_AUTH"),
        (-DAY, DAY, "CODE_SIGNING"),
    ],
    ids=["expired", "not yet valid", "a server's", "for another use"],
)
def test_what_the_authority_signed_for_another_time_or_use_opens_no_connection(
    shared, start, end, usage
):
    device = shared.enrol()
    certificate, identity = (
        as_issued(shared, device.file.csr_pem(), device.device_id, start, end, usage),
        device.file.load(),
    )
    with pytest.raises((ssl.SSLError, OSError)):
        ask(
            shared,
            "GET",
            "/api/v1/rounds/offer",
            identity=replace(identity, certificate_pem=certificate),
        )
    good = as_issued(shared, device.file.csr_pem(), device.device_id, -DAY, DAY, "CLIENT_AUTH")
    assert (
        code(
            ask(
                shared,
                "GET",
                "/api/v1/rounds/offer",
                identity=replace(identity, certificate_pem=good),
            )
        )
        == "REJECTED_IDENTITY"
    )


def as_issued(server, csr_pem, device_id, start, end, usage):
    """What the authority's own key could have signed, from `start` to `end` seconds from now."""
    key = x.load_key((server.home.authority / "ca.key").read_bytes())
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder(
        x509.load_pem_x509_certificate(server.home.ca_pem.encode()).subject,
        x509.Name([]),
        x509.load_pem_x509_csr(csr_pem.encode()).public_key(),
        x509.random_serial_number(),
        now + datetime.timedelta(seconds=start),
        now + datetime.timedelta(seconds=end),
    )
    made = made.add_extension(
        x509.SubjectAlternativeName([x509.UniformResourceIdentifier(device_id)]), critical=True
    )
    made = made.add_extension(
        x509.ExtendedKeyUsage([getattr(ExtendedKeyUsageOID, usage)]), critical=False
    )
    return x.pem(made.sign(key, SHA256()))


def test_an_authority_whose_key_was_changed_is_refused_by_devices_and_refuses_theirs(tmp_path):
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
            ask(changed, "GET", "/api/v1/rounds/offer", identity=device.file.load())


def test_another_devices_certificate_is_worth_nothing_without_its_key(shared):
    device, other = shared.enrol(), shared.enrol()
    mixed = replace(device.file.load(), certificate_pem=other.file.load().certificate_pem)
    with pytest.raises(ssl.SSLError):
        client_context(shared.home.ca_pem, mixed)


def test_a_certificate_of_the_authority_that_the_aggregator_never_took_in_is_refused(shared):
    device = shared.enrol()
    store = shared.store()
    store.devices.erase(device.device_id)
    store.close()
    assert (
        code(ask(shared, "GET", "/api/v1/rounds/offer", identity=device.file.load()))
        == "REJECTED_IDENTITY"
    )


def test_a_replayed_request_is_refused_byte_for_byte_and_altered(shared):
    device = shared.enrol()
    identity = device.file.load()
    body = device.update()
    headers = signed(shared, device, body)
    first = ask(shared, "POST", "/api/v1/updates", body, headers, identity)
    assert first[0] == 200
    assert "replay-nonce" in first[1]
    before = device.client.device()
    assert code(ask(shared, "POST", "/api/v1/updates", body, headers, identity)) == "NONCE_SPENT"
    assert (
        code(ask(shared, "POST", "/api/v1/updates", body + b"x", headers, identity))
        == "BAD_REQUEST_SIGNATURE"
    )
    assert (
        code(ask(shared, "POST", "/api/v1/rounds/1/leave", body, headers, identity))
        == "BAD_REQUEST_SIGNATURE"
    )
    assert (
        code(ask(shared, "POST", "/api/v1/updates?x=1", body, headers, identity))
        == "BAD_REQUEST_SIGNATURE"
    )
    assert device.client.device() == before
    fresh = signed(shared, device, body, nonce=first[1]["replay-nonce"])
    assert ask(shared, "POST", "/api/v1/updates", body, fresh, identity)[2] == first[2]


def test_signatures_of_others_and_nonces_of_others_are_refused(shared):
    device, other = shared.enrol(), shared.enrol()
    body, identity = device.update(), device.file.load()
    stolen = signed(shared, other, body)
    assert (
        code(ask(shared, "POST", "/api/v1/updates", body, stolen, identity))
        == "BAD_REQUEST_SIGNATURE"
    )
    forged = signed(
        shared, device, body, signer=SoftwareSigner(ec.generate_private_key(ec.SECP256R1()))
    )
    assert (
        code(ask(shared, "POST", "/api/v1/updates", body, forged, identity))
        == "BAD_REQUEST_SIGNATURE"
    )
    nonce = json.loads(challenge(shared, other.device_id)[2])["nonce"]
    assert (
        code(
            ask(
                shared,
                "POST",
                "/api/v1/updates",
                body,
                signed(shared, device, body, nonce=nonce),
                identity,
            )
        )
        == "NONCE_EXPIRED"
    )
    assert (
        code(ask(shared, "POST", "/api/v1/updates", body, {"Content-Type": ENVELOPE}, identity))
        == "BAD_REQUEST_SIGNATURE"
    )
    old = signed(shared, device, body)
    shared.clock.advance(61)
    assert code(ask(shared, "POST", "/api/v1/updates", body, old, identity)) == "NONCE_EXPIRED"


def test_oversized_bodies_are_cut_off_before_they_are_read(shared):
    device = shared.enrol()
    identity = device.file.load()
    assert (
        code(ask(shared, "POST", "/api/v1/updates", b"", {"Content-Length": str(10**9)}, identity))
        == "TOO_LARGE"
    )
    assert (
        code(
            ask(
                shared,
                "POST",
                "/api/v1/register",
                b"x" * 20_000,
                {"Content-Type": "application/json"},
            )
        )
        == "TOO_LARGE"
    )
    endless = (b"x" * 1024 for _ in range(64))
    assert (
        code(ask(shared, "POST", "/api/v1/register", endless, {"Content-Type": "application/json"}))
        == "TOO_LARGE"
    )


def test_the_operator_port_answers_on_loopback_names_only(shared):
    from http.client import HTTPConnection

    def get(path, host):
        connection = HTTPConnection("127.0.0.1", shared.where["operator_port"], timeout=60)
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content

    for path in (
        "/healthz",
        "/api/v1/stats",
        "/api/v1/rounds",
        "/api/v1/models",
        "/metrics",
        "/docs",
        "/openapi.json",
    ):
        assert get(path, "localhost")[0] == 200
    assert get("/api/v1/stats", "evil.example")[0] == 400
    document = json.loads(get("/openapi.json", "127.0.0.1")[1])
    assert {"/api/v1/register", "/api/v1/updates", "/api/v1/device", "/api/v1/certificate"} <= set(
        document["paths"]
    )


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
def test_p11_no_body_brings_the_server_down(shared, fuzzed, body, prefix, path):
    body, path = prefix + body, f"/api/v1/{path}"
    status, _, _ = ask(
        shared, "POST", path, body, signed(shared, fuzzed, body, path=path), fuzzed.file.load()
    )
    assert 400 <= status < 500
    held = fuzzed.client.device()
    assert (held["updates"], held["messages"]) == ([], [])


@pytest.fixture(scope="module")
def fuzzed(shared):
    from server_stub.config.limits import Rate

    device = shared.enrol()
    generous = Rate(100_000, 1000.0)
    object.__setattr__(shared.rates, "certificate", generous)
    object.__setattr__(shared.rates, "failure", generous)
    return device
