"""A request's head is bounded in time and size, and the certificate is the TLS connection's own."""

import contextlib
import ssl

import pytest

from server_stub.config.limits import DevicePortLimits
from tests.fakes.live_server import LiveServer
from tests.fakes.raw_requests import open_connection, problem_code, read_to_end, request

QUICK = DevicePortLimits(head_s=0.4)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with LiveServer(tmp_path_factory.mktemp("quick"), limits=QUICK) as running:
        yield running


@pytest.mark.parametrize(
    "head", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: "]
)
def test_a_head_that_does_not_arrive_in_time_ends_the_connection(server, head):
    connection = open_connection(server)
    connection.sendall(head)
    assert read_to_end(connection) == b""


def test_a_head_without_an_end_is_cut_off(server):
    connection = open_connection(server)
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        connection.sendall(b"GET /healthz HTTP/1.1\r\nX-A: " + b"a" * 200_000)
    assert b" 200 " not in read_to_end(connection)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 40_000,
        b"GET /healthz HTTP/1.1\r\nHost: x" + b"\r\nX: y" * 20_000,
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x",
    ],
    ids=["one header", "many headers", "target"],
)
def test_a_head_that_is_too_long_is_cut_off_although_it_ends(server, head):
    connection = open_connection(server)
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        connection.sendall(head + b"\r\n\r\n")
    assert b"HTTP/1.1 2" not in read_to_end(connection)


def test_a_connection_is_used_for_several_requests(server):
    """The bounds of a head start again with each request."""
    connection = open_connection(server)
    for _ in range(3):
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        received = b""
        while not received.endswith(b'"}'):
            received += connection.recv(65536)
        assert received.startswith(b"HTTP/1.1 200")
    connection.sendall(b"GET /healthz HT")
    assert read_to_end(connection) == b""


@pytest.mark.parametrize(
    "header", ["X-Client-Cert", "X-SSL-Client-Cert", "X-Forwarded-Client-Cert", "SSL_CLIENT_CERT"]
)
def test_no_header_stands_in_for_a_certificate(server, header):
    pem = server.enrol().file.load().certificate_pem.replace("\n", "%0A")
    refused = request(server, "GET", "/api/v1/rounds/offer", headers={header: pem})
    assert problem_code(refused) == "NO_IDENTITY"


def test_p11_a_client_that_does_not_wait_for_an_answer_is_cut_off(server):
    request_bytes = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    connection = open_connection(server)
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        connection.sendall(request_bytes * 5000)
    assert read_to_end(connection).count(b"HTTP/1.1 200") <= 1
    assert request(server, "GET", "/healthz")[0] == 200
