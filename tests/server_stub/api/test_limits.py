"""What the device port bears is a setting, and connections that dawdle or grow are cut off."""

import contextlib
import json
import socket
import ssl

import pytest

from agent.errors import OperatorActionError
from agent.transport.tls import client_context
from server_stub.config.limits import DevicePortLimits, Rate, Rates
from server_stub.config.settings import ServerSettings, default_task
from tests.fakes.live_server import OPERATOR, LiveServer, make_home

QUICK = DevicePortLimits(head_s=0.4)
FEW = DevicePortLimits(connections=12, body_s=0.4, body_bytes_per_s=100_000)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with LiveServer(tmp_path_factory.mktemp("limits"), limits=QUICK) as server:
        yield server


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """It waits its usual time for a head."""
    with LiveServer(tmp_path_factory.mktemp("small"), limits=FEW) as server:
        yield server


def wire(server):
    raw = socket.create_connection(("127.0.0.1", server.where["port"]), timeout=60)
    return client_context(server.home.ca_pem).wrap_socket(raw, server_hostname="127.0.0.1")


def said(connection):
    """All that comes until the end; b"" where the connection is cut off at once."""
    content = b""
    try:
        while piece := connection.recv(65536):
            content += piece
    except (ssl.SSLError, ConnectionError):
        pass
    connection.close()
    return content


@pytest.mark.parametrize(
    "head", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: "]
)
def test_a_head_that_does_not_come_is_not_waited_for(shared, head):
    connection = wire(shared)
    connection.sendall(head)
    assert said(connection) == b""


def test_a_head_without_end_is_cut_off(shared):
    connection = wire(shared)
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        connection.sendall(b"GET /healthz HTTP/1.1\r\nX-A: " + b"a" * 200_000)
    assert b" 200 " not in said(connection)


def test_a_body_that_does_not_come_is_answered_and_cut_off(small):
    connection = wire(small)
    connection.sendall(b"POST /api/v1/register HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{")
    answer = said(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer.lower()
    assert b"TOO_SLOW" in answer


def test_more_connections_than_allowed_are_told_so_and_the_others_are_served(small):
    held = [wire(small) for _ in range(FEW.connections + 2)]
    answers = []
    for connection in held:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answers = [said(connection)[:12] for connection in held]
    assert b"HTTP/1.1 503" in answers
    again = wire(small)
    again.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert said(again).startswith(b"HTTP/1.1 200")


def test_limits_are_settings_with_defaults():
    made = ServerSettings(
        OPERATOR,
        default_task(),
        limits=DevicePortLimits(Rates(address=Rate(5, 0.5)), connections=7),
    )
    assert ServerSettings.from_json(json.loads(json.dumps(made.to_json()))) == made
    without = {name: value for name, value in made.to_json().items() if name != "limits"}
    assert ServerSettings.from_json(without).limits == DevicePortLimits()
    assert DevicePortLimits.from_json(
        {"rates": {"failure": {"burst": 2, "per_s": 0.01}}}
    ).rates == Rates(failure=Rate(2, 0.01))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return make_home(tmp_path_factory.mktemp("home") / "server", 1_790_000_000)[0]


@pytest.mark.parametrize(
    "limits",
    [
        {"connections": 0},
        {"connections": True},
        {"connections": 1.5},
        {"head_s": -1},
        {"head_s": "1"},
        {"nothing": 1},
        {"rates": []},
        [],
    ]
    + [
        {"rates": {"address": said}}
        for said in ({"burst": 1}, {"burst": 0, "per_s": 1}, {"burst": 0.5, "per_s": 1}, 7)
    ]
    + [{"rates": {"nobody": {"burst": 1, "per_s": 1}}}, {"body_s": float("nan")}],
    ids=str,
)
def test_a_limit_that_is_none_is_refused_in_one_line(home, limits):
    path = home.folder / "server.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "limits": limits}))
    with pytest.raises(OperatorActionError) as refused:
        home.settings()
    assert refused.value.code == "BAD_SETTING"
