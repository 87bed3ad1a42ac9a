"""Requests are bounded in time and size, and every fault of the other end is one of our errors."""

import contextlib
import socket
import ssl
import threading

import pytest
import requests
from cryptography.x509 import UniformResourceIdentifier

from agent.errors import AegisError
from agent.identity.identity import IdentityFile
from agent.identity.memory_keystore import MemoryKeyStore
from agent.protocol.http_signature import SINGLE_HEADERS
from agent.transport.http import READ_TIMEOUT_S, PinnedSession, Timeouts
from agent.transport.tls import client_context
from tests.fakes.https_server import Scripted
from tests.fakes.timeouts import TIMEOUT_S, until
from tests.fakes.tls_proxy import Action, TlsProxy

DEVICE = "urn:uuid:6c1f2b3e-0000-4000-8000-000000000001"
QUICK = Timeouts(connect_s=2, read_s=0.3, whole_s=2)
"""For requests that must fail. A request that must succeed gets the usual time, since the machine
may be busy."""


def ask(session, path="/", **options):
    options.setdefault("max_bytes", 1000)
    return session.send("GET", path, **options)


def code_of(session, path="/", **options):
    with pytest.raises(AegisError) as raised:
        ask(session, path, **options)
    assert raised.value.remedy
    return raised.value.code


def test_a_port_without_a_listener_is_offline(authority):
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
def test_a_response_cut_off_or_stalled_is_offline_and_the_next_request_works(
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


def test_an_oversized_response_is_cut_off(server, authority):
    server.answers["/big"] = Scripted(body=bytes(200_000))
    assert (
        code_of(PinnedSession(server.url, client_context(authority.pem)), "/big")
        == "ANSWER_TOO_LARGE"
    )


def test_the_size_of_a_redirect_is_bounded_too(dripping, authority):
    """requests reads the body of a redirect by itself, unless the session finds no redirect."""
    head = b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 999999\r\n\r\n"
    session = PinnedSession(
        dripping(head + bytes(100_000)), client_context(authority.pem), timeouts=Timeouts(whole_s=5)
    )
    assert code_of(session) == "ANSWER_TOO_LARGE"


def test_a_compressed_response_is_refused(server, authority):
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


def test_complete_chunks_are_a_response(server, authority):
    server.answers["/"] = Scripted(
        body=b"5\r\nhello\r\n0\r\n\r\n",
        headers={"Content-Length": None, "Transfer-Encoding": "chunked"},
    )
    session = PinnedSession(server.url, client_context(authority.pem))
    assert [ask(session).body for _ in range(2)] == [b"hello"] * 2
    assert server.asked[0].connection == server.asked[1].connection


def test_a_response_shorter_than_stated_is_offline(server, authority):
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
    """`dripping(head)` is the URL of a server that sends this head of a response, and then a byte
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
def test_a_dripping_response_ends_at_the_deadline_of_the_whole_request(dripping, authority, head):
    """Even where the connection counts as closed once the head is read."""
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
def test_p2_closing_from_another_thread_ends_a_dripping_response(dripping, authority, head):
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
        assert proxy.holding.wait(TIMEOUT_S)
        session.close()
        thread.join(READ_TIMEOUT_S / 2)
        assert codes == ["OFFLINE"]


@pytest.fixture
def mute():
    """A peer that takes bytes and stays silent.

    `mute(way)` is its listening socket and the server and proxy to connect with: as the server the
    session waits in the TLS handshake, as the proxy for the tunnel.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        yield {
            "handshake": (listener, f"https://localhost:{port}", ""),
            "tunnel": (listener, "https://localhost:1", f"http://127.0.0.1:{port}"),
        }.__getitem__


PATIENT = {"connect_s": 2 * TIMEOUT_S, "read_s": 2 * TIMEOUT_S}
"""Longer than the test: the silence is not what ends a request."""


@pytest.mark.parametrize("way", ["handshake", "tunnel"])
def test_a_silent_peer_is_left_at_the_deadline_of_the_whole_request(authority, mute, way):
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


def test_a_response_without_a_length_is_refused_because_it_may_be_cut_off(server, authority):
    server.answers["/"] = Scripted(
        body=b"half an answ", headers={"Content-Length": None, "Connection": "close"}
    )
    assert code_of(PinnedSession(server.url, client_context(authority.pem))) == "BAD_ANSWER"


def test_the_device_does_not_store_a_certificate_for_another_usage(tmp_path, authority):
    file = IdentityFile(tmp_path, MemoryKeyStore())
    file.create()
    names = [UniformResourceIdentifier(DEVICE), UniformResourceIdentifier(DEVICE + "2")]
    from cryptography.x509 import load_pem_x509_csr

    two_names = authority.issue(load_pem_x509_csr(file.csr_pem().encode()).public_key(), names)
    with pytest.raises(AegisError, match="another device"):
        file.set_certificate(DEVICE, two_names, authority.pem, "5e" * 16, "")


@pytest.mark.parametrize("name", sorted(SINGLE_HEADERS))
def test_p11_a_response_that_repeats_a_header_is_refused_before_its_body_is_read(
    server, authority, name
):
    values = {"content-length": "5", "content-encoding": "identity", "transfer-encoding": "chunked"}
    value = values.get(name, "1")
    server.answers["/"] = Scripted(
        body=b"hello", headers={name.title(): value, name.upper(): value}
    )
    session = PinnedSession(server.url, client_context(authority.pem))
    assert code_of(session) == "BAD_ANSWER"
    server.answers["/"] = Scripted(body=b"hello", headers={"Vary": "a", "VARY": "b"})
    assert ask(session).body == b"hello"
