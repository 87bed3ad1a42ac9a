"""A header that the server reads may occur once, however it is written. Raw bytes over TLS."""

import pytest

from agent.protocol.http_signature import SINGLE_HEADERS
from tests.fakes.live_server import LiveServer
from tests.fakes.raw_requests import nonce, open_connection, read_to_end, send_lines, signed_headers

UPDATES = "/api/v1/updates"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with LiveServer(
        tmp_path_factory.mktemp("r"), epsilon_milli=8000, lifetime_epsilon_milli=8000
    ) as running:
        yield running


@pytest.fixture(scope="module")
def device(server):
    return server.enrol()


def signed_lines(server, device, body):
    """The lines of a valid signed update."""
    host = server.url.removeprefix("https://")
    headers = signed_headers(server, device, body)
    return [
        f"POST {UPDATES} HTTP/1.1".encode(),
        f"Host: {host}".encode(),
        f"Content-Length: {len(body)}".encode(),
        *(f"{name}: {value}".encode() for name, value in headers.items()),
    ]


def test_the_lines_of_the_next_tests_are_valid_when_nothing_is_repeated(server, device):
    body = device.update()
    lines = signed_lines(server, device, body)
    assert send_lines(server, lines, body, device.file.load())[0] == 200


@pytest.mark.parametrize(
    "name", ["Content-Digest", "Signature", "Signature-Input", "Host", "Content-Type"]
)
@pytest.mark.parametrize("spelling", ["same", "lower", "upper", "spaces", "other value first"])
def test_a_repeated_signed_header_is_refused_and_nothing_is_spent(server, device, name, spelling):
    body, identity = device.update(), device.file.load()
    lines = signed_lines(server, device, body)
    position = next(i for i, line in enumerate(lines) if line.startswith(name.encode() + b":"))
    value = lines[position].split(b": ", 1)[1]
    header = name.encode()
    again = {
        "same": header + b": " + value,
        "lower": header.lower() + b": " + value,
        "upper": header.upper() + b": " + value,
        "spaces": header + b":\t  " + value + b" \t",
        "other value first": header + b": x",
    }[spelling]
    before = device.client.device()
    where = position if spelling == "other value first" else position + 1
    repeated = [*lines[:where], again, *lines[where:]]
    assert send_lines(server, repeated, body, identity) == (400, "REPEATED_HEADER")
    assert device.client.device() == before
    assert send_lines(server, lines, body, identity)[0] in (
        200,
        409,
        410,
    )  # the nonce was not spent


@pytest.mark.parametrize("name", sorted(SINGLE_HEADERS - {"content-length", "transfer-encoding"}))
def test_p11_any_header_that_is_read_may_occur_once(server, name):
    lines = [b"GET /healthz HTTP/1.1"]
    lines += [b"Host: x"] if name != "host" else []
    line = name.encode() + b": 1"
    assert send_lines(server, [*lines, line])[0] in (200, 417)
    assert send_lines(server, [*lines, line, line]) == (400, "REPEATED_HEADER")


@pytest.mark.parametrize(
    "repeated",
    [
        [b"Content-Length: 2", b"Content-Length: 3"],
        [b"Content-Length: 2", b"Content-Length: 2"],
        [b"Content-Length: 2", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"],
        [b"Content-Length: 2", b"Content-Length : 2"],
        [b"Content-Length:\r\n 2"],
        [b"Content-Length: +2"],
        [b"Content-Length: 2, 2"],
    ],
    ids=repr,
)
def test_p11_a_body_whose_length_is_said_twice_or_oddly_is_refused(server, repeated):
    lines = [b"POST /api/v1/challenge HTTP/1.1", b"Host: x", b"Content-Type: application/json"]
    assert send_lines(server, [*lines, *repeated], b"{}")[0] in (0, 400, 413)


@pytest.mark.parametrize("name", [b"Content-Digest", b"Host", b"Signature"])
def test_p11_a_folded_header_is_refused(server, name):
    lines = [b"GET /healthz HTTP/1.1", b"Host: x" if name != b"Host" else b"X: y"]
    folded = name + b": a\r\n " + name + b": b"
    assert send_lines(server, [*lines, folded])[0] in (0, 400)


def test_a_header_that_may_be_a_list_may_be_repeated(server):
    lines = [b"GET /healthz HTTP/1.1", b"Host: x", b"Accept: a/b", b"Accept: c/d", b"Via: 1 a"]
    assert send_lines(server, [*lines, b"Via: 1 b"])[0] == 200


def test_what_follows_a_chunked_body_is_no_header_of_the_request(server, device):
    """A trailer would otherwise take the place of the header that was checked."""
    device_id = device.device_id
    body = b'{"device_id": "' + device_id.encode() + b'"}'
    connection = open_connection(server)
    connection.sendall(
        b"POST /api/v1/challenge HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        + b"%x\r\n%s\r\n0\r\n" % (len(body), body)
        + b"Content-Type: text/plain\r\nHost: evil\r\n\r\n"
    )
    answer = read_to_end(connection)
    assert answer.startswith(b"HTTP/1.1 200")
    assert nonce(server, device_id)


@pytest.mark.parametrize(
    "target", [b"https://evil.example/healthz", b"*", b"evil:443", b"//evil/healthz", b"/healthz#x"]
)
@pytest.mark.parametrize("method", [b"GET", b"OPTIONS", b"CONNECT"])
def test_p11_an_odd_target_is_answered_and_the_next_request_too(server, method, target):
    send_lines(server, [method + b" " + target + b" HTTP/1.1", b"Host: x"])
    assert send_lines(server, [b"GET /healthz HTTP/1.1", b"Host: x"])[0] == 200
