"""Single requests to a LiveServer's ports, as a device, a stranger or an attacker sends them."""

import contextlib
import json
import socket
import ssl
from http.client import HTTPConnection, HTTPSConnection
from urllib.parse import urlsplit

from agent.protocol.http_signature import SignatureParameters, sign_request
from agent.transport.tls import client_context
from tests.fakes.timeouts import TIMEOUT_S

ENVELOPE = "application/vnd.aegisai.envelope"
JSON = {"Content-Type": "application/json"}


def request(server, method, path, body=None, headers=None, identity=None):
    """Send a request to the device port. Returns status, headers and body."""
    parts = urlsplit(server.url)
    context = client_context(server.home.ca_pem, identity)
    connection = HTTPSConnection(parts.hostname, parts.port, context=context, timeout=TIMEOUT_S)
    # The server may answer and close before it has read the whole body.
    with contextlib.suppress(BrokenPipeError, ssl.SSLEOFError):
        connection.request(method, path, body, headers or {})
    return _response(connection)


def request_operator(server, path, host="localhost"):
    """Get a page of the operator port. Returns status, headers and body."""
    connection = HTTPConnection("127.0.0.1", server.where["operator_port"], timeout=TIMEOUT_S)
    connection.request("GET", path, headers={"Host": host})
    return _response(connection)


def problem_code(response):
    """The code of a problem document. Fails for any other response."""
    status, headers, content = response
    problem = json.loads(content)
    assert headers["content-type"] == "application/problem+json"
    assert set(problem) == {"type", "title", "status", "detail", "code", "remedy"}
    assert problem["status"] == status
    return problem["code"]


def nonce(server, device_id):
    """A fresh nonce for a device."""
    body = json.dumps({"device_id": device_id})
    return json.loads(request(server, "POST", "/api/v1/challenge", body, JSON)[2])["nonce"]


def signed_headers(
    server,
    device,
    body,
    *,
    nonce_text=None,
    path="/api/v1/updates",
    method="POST",
    signer=None,
    content_type=ENVELOPE,
):
    """The headers of a request that `device` signs, or another `signer` in its name."""
    return sign_request(
        method,
        urlsplit(server.url).netloc,
        path,
        content_type,
        body,
        SignatureParameters(
            device.device_id,
            nonce_text or nonce(server, device.device_id),
            server.clock.now(),
        ),
        (signer or device.file.load().signer).sign,
    )


def open_connection(server, identity=None):
    """A TLS connection to the device port, without a certificate unless an identity has one."""
    raw = socket.create_connection(("127.0.0.1", server.where["port"]), timeout=TIMEOUT_S)
    context = client_context(server.home.ca_pem, identity)
    return context.wrap_socket(raw, server_hostname="127.0.0.1")


def send_lines(server, lines, body=b"", identity=None):
    """Send header lines exactly as given. Returns status and problem code ("" without one)."""
    connection = open_connection(server, identity)
    connection.sendall(b"\r\n".join([*lines, b"Connection: close", b"", body]))
    head, _, content = read_to_end(connection).partition(b"\r\n\r\n")
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return int(head.split()[1]), json.loads(content)["code"]
    return int(head.split()[1]) if head else 0, ""


def read_to_end(connection):
    """Everything until the end; b"" if the server cuts the connection off at once."""
    content = b""
    try:
        while piece := connection.recv(65536):
            content += piece
    except (ssl.SSLError, ConnectionError):
        pass
    connection.close()
    return content


def _response(connection):
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, dict(response.getheaders()), content
