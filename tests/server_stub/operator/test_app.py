"""The operator port: what it shows, and under which names."""

import json
from contextlib import suppress

import pytest

from agent.errors import UserActionError
from agent.protocol.ledger_heads import Ready, ShownHeads
from server_stub.operator.pages import HEADERS
from tests.fakes.live_server import public_stats
from tests.fakes.raw_requests import request, request_operator

PATHS = (
    "/",
    "/healthz",
    "/api/v1/stats",
    "/api/v1/rounds",
    "/api/v1/models",
    "/metrics",
    "/docs",
    "/openapi.json",
)


def json_of(server, path):
    status, _, content = request_operator(server, path)
    assert status == 200
    return json.loads(content)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "localhost:8444"])
def test_every_page_is_served_under_a_loopback_name(live, host):
    assert {request_operator(live, path, host)[0] for path in PATHS} == {200}


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "192.0.2.1", ""])
def test_another_name_is_refused(live, host):
    """A web page must not reach the port through DNS rebinding."""
    assert {request_operator(live, path, host)[0] for path in PATHS} == {400}


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_carries_its_headers(live, path):
    _, headers, content = request_operator(live, path)
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert {name: headers[name.lower()] for name in HEADERS} == HEADERS
    assert content.startswith(b"<!doctype html>")


def test_figures_follow_what_devices_do(live):
    device = live.enrol()
    device.client.send_update(device.update())
    stats = json_of(live, "/api/v1/stats")
    assert (stats["devices"], stats["updates"], stats["round"]["updates"]) == (1, 1, 1)
    assert stats == public_stats(device.client)
    (current,) = json_of(live, "/api/v1/rounds")
    assert (current["round_id"], current["state"], current["updates"]) == (1, "open", 1)
    (model,) = json_of(live, "/api/v1/models")
    assert (model["version"], model["origin"]) == (1, "start model")
    assert json_of(live, "/healthz") == {"status": "ok"}
    assert device.device_id.encode() not in request_operator(live, "/")[2]


def test_metrics_count_the_device_ports_requests_and_refusals(live):
    for _ in range(3):
        request(live, "GET", "/api/v1/stats")
    request(live, "GET", "/healthz")
    status, headers, content = request_operator(live, "/metrics")
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    lines = content.decode().splitlines()
    assert "aegisai_requests_total 4" in lines
    assert 'aegisai_refusals_total{code="NO_IDENTITY"} 3' in lines


def test_metrics_count_refused_copies_and_connections_and_name_no_device(live):
    device = live.enrol()
    for head in ("11" * 32, "22" * 32):
        with suppress(UserActionError):  # LEDGER_FORKED for the second
            device.client.ready(Ready(1, "33" * 16, ShownHeads(0, (head,))))
    content = request_operator(live, "/metrics")[2].decode()
    lines = content.splitlines()
    assert "aegisai_devices_copied 1" in lines
    assert "aegisai_copies_refused_total 1" in lines
    assert "aegisai_devices_excluded 0" in lines
    assert "aegisai_connections 1" in lines
    assert "aegisai_connections_refused_total 0" in lines
    assert device.device_id not in content


def test_the_document_describes_the_device_port(live):
    paths = set(json_of(live, "/openapi.json")["paths"])
    assert {"/api/v1/register", "/api/v1/updates", "/api/v1/device"} <= paths
    assert "/metrics" not in paths


def test_the_documentation_page_lists_every_operation(live):
    page = request_operator(live, "/docs")[2].decode()
    for path, operations in json_of(live, "/openapi.json")["paths"].items():
        for method in operations:
            heading = f"<span class='method'>{method.upper()}</span> <code>{path}</code>"
            assert heading in page
