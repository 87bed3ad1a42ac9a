"""The pinned connection: one trust root, bounded requests, and every fault of the other end as one
of our errors.
"""

import contextlib
import dataclasses
import socket
import ssl
import threading

import pytest
import requests
from cryptography.x509 import UniformResourceIdentifier
from cryptography.x509.oid import ExtendedKeyUsageOID

from agent.errors import AegisError
from agent.identity.identity import IdentityFile
from agent.identity.memory_keystore import MemoryKeyStore
from agent.transport.http import READ_TIMEOUT_S, PinnedSession, Timeouts
from agent.transport.tls import client_context
from tests.fakes.ca import DAY, TestAuthority
from tests.fakes.https_server import HttpsServer, Scripted
from tests.fakes.timeouts import TIMEOUT_S, until
from tests.fakes.tls_proxy import Action, TlsProxy

DEVICE = "urn:uuid:6c1f2b3e-0000-4000-8000-000000000001"
QUICK = Timeouts(connect_s=2, read_s=0.3, whole_s=2)
"""Of requests that must fail: a busy machine may be slower, so one that is to be answered is given
its usual time."""


def identity_of(folder, authority, certify=None):
    """An identity whose certificate `certify` makes, also one that the device itself would refuse
    to store.
    """
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


def test_one_root_only_before_and_after_a_request(server, authority):
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
def test_a_wrong_server_certificate_is_named(tmp_path, authority, host, options, word):
    with HttpsServer(tmp_path, *authority.issue_server(host, **options)) as running:
        with pytest.raises(AegisError, match=word) as raised:
            ask(PinnedSession(running.url, client_context(authority.pem)))
        assert raised.value.code == "SERVER_CERTIFICATE"
        assert running.asked == []


def test_a_client_certificate_does_not_serve_as_a_server(tmp_path, authority):
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
def test_an_unusable_root_is_one_clear_error(ca_pem):
    with pytest.raises(AegisError) as raised:
        client_context(ca_pem)
    assert raised.value.code == "SERVER_CERTIFICATE"


def test_two_roots_are_refused(authority):
    with pytest.raises(AegisError):
        client_context(authority.pem + TestAuthority("Second").pem)


def test_tls_1_2_is_refused(authority):
    assert client_context(authority.pem).minimum_version is ssl.TLSVersion.TLSv1_3


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
def test_a_refused_device_certificate_is_named_as_possible_cause(
    server, authority, tmp_path, certify
):
    identity = identity_of(tmp_path, authority, certify(authority))
    with pytest.raises(AegisError, match="refuses this device") as raised:
        ask(PinnedSession(server.url, client_context(authority.pem, identity)))
    assert raised.value.code in {"REJECTED_IDENTITY", "OFFLINE"}
    assert server.asked == []


def test_no_certificate_where_one_is_demanded_is_named(tmp_path, authority):
    with HttpsServer(tmp_path, *authority.issue_server(), authority.pem, demand=True) as running:
        with pytest.raises(AegisError, match="refuses this device") as raised:
            ask(PinnedSession(running.url, client_context(authority.pem)))
        assert raised.value.code in {"REJECTED_IDENTITY", "OFFLINE"}


def test_nobody_listening_is_offline(authority):
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    assert (
        code_of(
            PinnedSession(
                f"https://localhost:{port}", client_context(authority.pem), timeouts=QUICK
            )
        )
        == "OFFLINE"
    )


@pytest.mark.parametrize("action", [Action.CUT, Action.RESET, Action.HOLD])
def test_an_answer_that_is_cut_or_held_is_offline_and_the_next_request_works(
    server, authority, action
):
    with TlsProxy(server.port) as proxy:
        session = PinnedSession(
            proxy.url, client_context(authority.pem), timeouts=Timeouts(read_s=2)
        )
        assert ask(session).status == 200
        proxy.decide = lambda flow: action
        assert code_of(session) == "OFFLINE"
        until(lambda: len(server.asked) == 2, what="the second request")
        proxy.decide = lambda flow: Action.PASS
        proxy.release()
        assert ask(session).body == b"hello"


def test_after_a_request_that_took_too_long_the_next_one_works(server, authority):
    with TlsProxy(server.port) as proxy:
        session = PinnedSession(
            proxy.url, client_context(authority.pem), timeouts=Timeouts(whole_s=3)
        )
        assert ask(session).status == 200
        proxy.decide = lambda flow: Action.HOLD
        assert code_of(session) == "OFFLINE"
        proxy.decide = lambda flow: Action.PASS
        proxy.release()
        assert ask(session).body == b"hello"


def test_an_oversized_answer_is_cut_off(server, authority):
    server.answers["/big"] = Scripted(body=bytes(200_000))
    assert (
        code_of(PinnedSession(server.url, client_context(authority.pem)), "/big")
        == "ANSWER_TOO_LARGE"
    )


def test_the_size_of_a_redirect_is_bounded_too(dripping, authority):
    """requests reads the body of a redirect by itself, unless it is told that there is none."""
    head = b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 999999\r\n\r\n"
    session = PinnedSession(
        dripping(head + bytes(100_000)), client_context(authority.pem), timeouts=Timeouts(whole_s=5)
    )
    assert code_of(session) == "ANSWER_TOO_LARGE"


def test_a_compressed_answer_is_refused(server, authority):
    server.answers["/"] = Scripted(body=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
    assert code_of(PinnedSession(server.url, client_context(authority.pem))) == "BAD_ANSWER"
    assert server.asked[0].headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("body", [b"zz\r\nhello\r\n0\r\n\r\n", b"5\r\nhel"])
def test_broken_chunks_are_offline(server, authority, body):
    server.answers["/"] = Scripted(
        body=body,
        headers={"Content-Length": None, "Transfer-Encoding": "chunked", "Connection": "close"},
    )
    session = PinnedSession(server.url, client_context(authority.pem), timeouts=QUICK)
    assert code_of(session) == "OFFLINE"


def test_whole_chunks_are_an_answer(server, authority):
    server.answers["/"] = Scripted(
        body=b"5\r\nhello\r\n0\r\n\r\n",
        headers={"Content-Length": None, "Transfer-Encoding": "chunked"},
    )
    session = PinnedSession(server.url, client_context(authority.pem))
    assert [ask(session).body for _ in range(2)] == [b"hello"] * 2
    assert server.asked[0].connection == server.asked[1].connection


def test_an_answer_that_lies_about_its_length_is_offline(server, authority):
    server.answers["/"] = Scripted(
        body=b"short", headers={"Content-Length": "500", "Connection": "close"}
    )
    assert (
        code_of(PinnedSession(server.url, client_context(authority.pem), timeouts=QUICK))
        == "OFFLINE"
    )


def test_a_redirect_is_not_followed(server, authority):
    server.answers["/"] = Scripted(302, headers={"Location": "https://localhost/elsewhere"})
    assert ask(PinnedSession(server.url, client_context(authority.pem))).status == 302
    assert len(server.asked) == 1


@pytest.fixture
def dripping(authority, tmp_path):
    """`dripping(head)` is the URL of a server that gives this head of an answer, and then a byte
    every 50 ms without end.
    """
    chain = tmp_path / "s.pem"
    certificate, key = authority.issue_server()
    chain.write_bytes(certificate.encode() + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    stop = threading.Event()
    threads = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip(head):
            connection = context.wrap_socket(listener.accept()[0], server_side=True)
            with connection, contextlib.suppress(OSError):
                connection.recv(4096)
                connection.sendall(head)
                while not stop.wait(0.05):
                    connection.sendall(b"x")

        def start(head):
            threads.append(threading.Thread(target=drip, args=(head,), daemon=True))
            threads[-1].start()
            return f"https://localhost:{listener.getsockname()[1]}"

        yield start
        stop.set()
        for thread in threads:
            thread.join(TIMEOUT_S)


HEADS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 999999\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nContent-Length: 999999\r\n\r\n",
)


@pytest.mark.parametrize("head", HEADS, ids=["kept", "to be closed", "HTTP/1.0"])
def test_a_dripping_answer_ends_at_the_whole_deadline(dripping, authority, head):
    """Also where the connection counts as closed once the head is read."""
    session = PinnedSession(
        dripping(head), client_context(authority.pem), timeouts=Timeouts(whole_s=0.4)
    )
    codes = []
    thread = threading.Thread(
        target=lambda: codes.append(code_of(session, max_bytes=10**6)), daemon=True
    )
    thread.start()
    thread.join(READ_TIMEOUT_S / 2)
    assert codes == ["OFFLINE"]
    session.close()


@pytest.mark.parametrize("head", HEADS, ids=["kept", "to be closed", "HTTP/1.0"])
def test_p2_closing_from_another_thread_ends_a_dripping_answer(dripping, authority, head):
    url, codes, has_head = dripping(head), [], threading.Event()
    session = PinnedSession(url, client_context(authority.pem))
    original = requests.Response.iter_content

    def iter_content(response, chunk_size):
        has_head.set()
        return original(response, chunk_size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests.Response, "iter_content", iter_content)
        thread = threading.Thread(
            target=lambda: codes.append(code_of(session, max_bytes=10**6)), daemon=True
        )
        thread.start()
        assert has_head.wait(TIMEOUT_S)
        session.close()
        thread.join(READ_TIMEOUT_S / 2)
    assert codes == ["OFFLINE"]


def test_p2_closing_from_another_thread_ends_a_request_under_way(server, authority):
    with TlsProxy(server.port) as proxy:
        session = PinnedSession(proxy.url, client_context(authority.pem))
        ask(session)
        proxy.decide = lambda flow: Action.HOLD
        codes = []
        thread = threading.Thread(target=lambda: codes.append(code_of(session)))
        thread.start()
        assert proxy.held.wait(TIMEOUT_S)
        session.close()
        thread.join(READ_TIMEOUT_S / 2)
        assert codes == ["OFFLINE"]


@pytest.fixture
def mute():
    """`mute(way)`: where a session is to connect to find a peer that takes bytes and is silent, as
    the server (the session waits in the TLS handshake) or as its proxy (it waits for the tunnel);
    and the listening socket.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        yield {
            "handshake": (listener, f"https://localhost:{port}", ""),
            "tunnel": (listener, "https://localhost:1", f"http://127.0.0.1:{port}"),
        }.__getitem__


PATIENT = {"connect_s": 2 * TIMEOUT_S, "read_s": 2 * TIMEOUT_S}
"""Waits longer than the test: what ends a request is not the silence."""


@pytest.mark.parametrize("way", ["handshake", "tunnel"])
def test_a_mute_peer_is_left_at_the_whole_deadline(authority, mute, way):
    _, server, proxy = mute(way)
    timeouts = Timeouts(**PATIENT, whole_s=0.3)
    session = PinnedSession(server, client_context(authority.pem), proxy=proxy, timeouts=timeouts)
    assert code_of(session) == "OFFLINE"


@pytest.mark.parametrize("way", ["handshake", "tunnel"])
def test_p2_closing_from_another_thread_ends_a_request_before_it_is_sent(authority, mute, way):
    listener, server, proxy = mute(way)
    timeouts = Timeouts(**PATIENT)
    session = PinnedSession(server, client_context(authority.pem), proxy=proxy, timeouts=timeouts)
    codes = []
    thread = threading.Thread(target=lambda: codes.append(code_of(session)), daemon=True)
    thread.start()
    listener.settimeout(TIMEOUT_S)
    peer, _ = listener.accept()
    with peer:
        peer.settimeout(TIMEOUT_S)
        assert peer.recv(1)  # of the handshake, or of CONNECT: the session waits for the answer
        session.close()
        thread.join(TIMEOUT_S)
        assert codes == ["OFFLINE"]
        with contextlib.suppress(ConnectionResetError):
            while peer.recv(65536):
                pass


def test_p2_a_closed_session_does_not_even_connect(authority, mute):
    listener, server, _ = mute("handshake")
    session = PinnedSession(server, client_context(authority.pem))
    session.close()
    assert code_of(session) == "OFFLINE"
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_an_answer_without_a_length_could_have_been_cut_off_and_is_refused(server, authority):
    server.answers["/"] = Scripted(
        body=b"half an answ", headers={"Content-Length": None, "Connection": "close"}
    )
    assert code_of(PinnedSession(server.url, client_context(authority.pem))) == "BAD_ANSWER"


def test_the_device_refuses_to_store_a_wrong_usage_before_any_server_sees_it(tmp_path, authority):
    file = IdentityFile(tmp_path, MemoryKeyStore())
    file.create()
    names = [UniformResourceIdentifier(DEVICE), UniformResourceIdentifier(DEVICE + "2")]
    from cryptography.x509 import load_pem_x509_csr

    two_names = authority.issue(load_pem_x509_csr(file.csr_pem().encode()).public_key(), names)
    with pytest.raises(AegisError, match="another device"):
        file.set_certificate(DEVICE, two_names, authority.pem, "5e" * 16, "")
