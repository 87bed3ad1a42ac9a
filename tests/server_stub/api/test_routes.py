"""What HTTP adds to the aggregator's answers: statuses, media types, caching and waiting."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from agent.protocol.messages import Mode
from server_stub.api import routes
from server_stub.config.limits import Rate, Rates
from server_stub.coordinator import driver
from tests.fakes.group_devices import GroupDevice
from tests.fakes.live_server import LiveServer
from tests.fakes.raw_requests import (
    ENVELOPE,
    JSON,
    nonce,
    problem_code,
    request,
    signed_headers,
)
from tests.fakes.timeouts import TIMEOUT_S

GROUPS_OF_THREE = {
    "mode": Mode.SECAGG,
    "min_group": 3,
    "min_sum": 2,
    "gamma_milli": 0,
    "g_max": 10,
    "ready_target": 3,
    "lead_s": 0,
    "planned": 1,
    "epsilon_milli": 1_000_000,
    "lifetime_epsilon_milli": 1_000_000,
}


def signed(server, device, method, path, body, content_type=ENVELOPE):
    headers = signed_headers(
        server, device, body, path=path, method=method, content_type=content_type
    )
    return request(server, method, path, body, headers, device.file.load())


@pytest.fixture
def device(live):
    return live.enrol()


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/nothing", "NOT_FOUND"),
        ("GET", "/api/v1/updates", "METHOD"),
        ("GET", "/api/v1/log/proof?certificate_sha256=x", "BAD_MESSAGE"),
        ("GET", "/api/v1/log/consistency?earlier=0", "BAD_MESSAGE"),
        ("GET", "/api/v1/log/consistency?earlier=99", "NOT_IN_LOG"),
        ("GET", "/api/v1/rounds/0/inbox?after=shares", "BAD_MESSAGE"),
        ("GET", "/api/v1/metadata/none.json", "NOT_FOUND"),
        ("GET", "/api/v1/targets/none", "NOT_FOUND"),
        ("PUT", "/api/v1/device", "METHOD"),
    ],
)
def test_every_refusal_is_a_problem_document(live, device, method, path, code):
    if method == "GET":
        answer = request(live, method, path, identity=device.file.load())
    else:
        answer = signed(live, device, method, path, b"{}")
    assert problem_code(answer) == code


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"token": 1, "csr_pem": ""}', b'{"token": "x"}', b'{"more": 1}', b"\xff"],
)
def test_a_registration_of_another_shape_is_refused_without_an_echo(live, body):
    answer = request(live, "POST", "/api/v1/register", body, JSON)
    assert problem_code(answer) == "BAD_MESSAGE"
    assert answer[0] == 400


def test_an_update_needs_its_media_type(live, device):
    answer = signed(live, device, "POST", "/api/v1/updates", device.update(), "application/json")
    assert (answer[0], problem_code(answer)) == (415, "WRONG_TYPE")


def test_a_model_that_the_device_has_is_not_sent_again(live, device):
    identity = device.file.load()
    status, headers, content = request(live, "GET", "/api/v1/model", identity=identity)
    assert (status, headers["x-model-version"]) == (200, "1")
    known = {"If-None-Match": headers["etag"]}
    again = request(live, "GET", "/api/v1/model", headers=known, identity=identity)
    assert (again[0], again[2], again[1]["etag"]) == (304, b"", headers["etag"])
    other = {"If-None-Match": '"another"'}
    assert request(live, "GET", "/api/v1/model", headers=other, identity=identity)[2] == content


def test_answers_about_a_device_are_not_cached(live, device):
    for path in ("/api/v1/rounds/offer", "/api/v1/device"):
        headers = request(live, "GET", path, identity=device.file.load())[1]
        assert headers["cache-control"] == "no-store"


@pytest.fixture
def group(tmp_path, monkeypatch):
    """A server with an open join window, and the three devices that it is for."""
    monkeypatch.setattr(driver, "POLL_S", 0.05)
    with LiveServer(tmp_path, **GROUPS_OF_THREE) as server:
        devices = [GroupDevice(server.enrol()) for _ in range(3)]
        for device in devices:
            device.report_ready()
        for device in devices:
            device.join(device.poll_until_offered())
        yield server, devices


def inbox(server, device):
    path = f"/api/v1/rounds/{device.config.round_id}/inbox?after=advertise"
    return request(server, "GET", path, identity=device.identity)


def test_an_inbox_is_empty_while_its_phase_lasts(group, monkeypatch):
    monkeypatch.setattr(routes, "LONG_POLL_S", 0.05)
    server, devices = group
    devices[0].send("advertise")
    status, headers, content = inbox(server, devices[0])
    assert (status, content, headers["cache-control"]) == (204, b"", "no-store")


def test_a_request_for_an_inbox_waits_for_the_end_of_the_phase(group, monkeypatch):
    monkeypatch.setattr(routes, "LONG_POLL_S", TIMEOUT_S)
    server, devices = group
    devices[0].send("advertise")
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(inbox, server, devices[0])
        for device in devices[1:]:
            device.send("advertise")
        status, headers, content = waiting.result(TIMEOUT_S)
    assert (status, headers["content-type"]) == (200, ENVELOPE)
    assert content.startswith(b"AEG1")


def test_every_answer_to_a_device_has_the_nonce_for_its_next_request(live, device):
    identity = device.file.load()
    refused = request(live, "GET", "/nothing", identity=identity)
    headers = signed_headers(
        live, device, body := device.update(), nonce_text=refused[1]["replay-nonce"]
    )
    answer = request(live, "POST", "/api/v1/updates", body, headers, identity)
    assert answer[0] == 200
    assert answer[1]["replay-nonce"] != refused[1]["replay-nonce"]
    assert "replay-nonce" not in request(live, "GET", "/healthz")[1]


def test_anyone_gets_a_nonce(live):
    """A device without a certificate needs one to renew; making one costs no memory."""
    assert len({nonce(live, "urn:uuid:x") for _ in range(5)}) == 5


def test_erasing_needs_a_signature_or_the_right_secret(live, device):
    def erase(**body):
        return request(live, "DELETE", "/api/v1/device", json.dumps(body), JSON)

    assert problem_code(erase()) == "ERASE_SECRET"
    assert problem_code(erase(device_id=device.device_id)) == "ERASE_SECRET"
    assert problem_code(erase(device_id=device.device_id, erase_secret="0" * 32)) == "ERASE_SECRET"
    assert device.client.device()["device_id"] == device.device_id
    secret = device.registration.erase_secret
    assert erase(device_id=device.device_id, erase_secret=secret)[0] == 200


def test_guesses_of_a_secret_are_limited_by_address(tmp_path):
    with LiveServer(tmp_path, rates=Rates(failure=Rate(3, 0.001))) as server:
        device = server.enrol()
        body = json.dumps({"device_id": device.device_id, "erase_secret": "0" * 32})
        codes = [
            problem_code(request(server, "DELETE", "/api/v1/device", body, JSON)) for _ in range(5)
        ]
    assert codes == ["ERASE_SECRET"] * 3 + ["TOO_MANY"] * 2
