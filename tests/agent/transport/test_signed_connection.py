"""A connection signs each request over a fresh nonce, and sends nothing once it is closed."""

import pytest

from agent.errors import AegisError, InternalError
from agent.transport.signed_connection import MAX_NONCES, NONCE_LIFE_S, SignedConnection, to_json
from tests.agent.transport.conftest import CHALLENGE, ERASE
from tests.fakes.ca import now
from tests.fakes.clock import FakeClock
from tests.fakes.https_server import Scripted


@pytest.fixture
def clock():
    return FakeClock(int(now().timestamp()))


@pytest.fixture
def connection(server, authority, identity_file, clock):
    opened = SignedConnection(server.url, authority.pem, identity_file.load(), clock=clock)
    yield opened
    opened.close()


def erase(connection):
    return connection.send_signed("DELETE", ERASE, b"{}")


def paths(server):
    return [request.path for request in server.asked]


def code_of(call, *arguments):
    with pytest.raises(AegisError) as raised:
        call(*arguments)
    return raised.value.code


def test_after_one_challenge_every_response_carries_the_next_nonce(server, connection, nonces):
    for _ in range(3):
        erase(connection)
    assert paths(server) == [CHALLENGE, ERASE, ERASE, ERASE]
    assert len(set(nonces.spent)) == 3


def test_a_nonce_is_used_until_it_is_too_old(server, connection, nonces, clock):
    erase(connection)
    clock.ticks += NONCE_LIFE_S
    erase(connection)
    clock.ticks += NONCE_LIFE_S + 1
    erase(connection)
    assert paths(server) == [CHALLENGE, ERASE, ERASE, CHALLENGE, ERASE]


def test_a_refused_nonce_is_replaced_and_the_body_stays_the_same(server, connection, nonces):
    erase(connection)
    nonces.live.clear()
    erase(connection)
    assert paths(server) == [CHALLENGE, ERASE, ERASE, ERASE]
    assert server.asked[2].body == server.asked[3].body
    assert server.asked[2].headers["Signature"] != server.asked[3].headers["Signature"]


def test_a_server_that_refuses_every_nonce_is_given_up(server, connection, nonces):
    server.answers[ERASE] = Scripted(400, b'{"code": "NONCE_EXPIRED"}')
    assert code_of(erase, connection) == "NONCE_EXPIRED"
    assert paths(server).count(ERASE) == MAX_NONCES


def test_a_refused_signature_is_not_tried_again(server, connection, nonces):
    server.answers[ERASE] = Scripted(401, b'{"code": "BAD_REQUEST_SIGNATURE"}')
    assert code_of(erase, connection) == "BAD_REQUEST_SIGNATURE"
    assert paths(server).count(ERASE) == 1


@pytest.mark.parametrize("days", [-1, 1])
def test_a_device_whose_clock_is_a_day_off_is_served(connection, nonces, clock, days):
    clock.wall += days * 86_400
    erase(connection)
    assert len(nonces.spent) == 1


@pytest.mark.parametrize("challenge", [b"{}", b'{"nonce": 5}', b'{"nonce": "n", "more": 1}', b"[]"])
def test_p11_a_challenge_outside_the_contract_ends_the_request(server, connection, challenge):
    server.answers[CHALLENGE] = Scripted(body=challenge)
    assert code_of(erase, connection) == "BAD_ANSWER"
    assert paths(server) == [CHALLENGE]


def test_a_status_that_means_nothing_is_an_error_of_the_server(server, connection):
    server.answers["/"] = Scripted(302, headers={"Location": "https://elsewhere.example/"})
    assert code_of(connection.get, "/") == "SERVER_ERROR"
    assert len(server.asked) == 1


def test_a_problem_of_the_server_is_raised(server, connection):
    server.answers["/"] = Scripted(410, b'{"code": "ROUND_CLOSED"}')
    assert code_of(connection.get, "/") == "ROUND_CLOSED"


def test_a_missing_public_file_is_no_error(server, connection):
    assert connection.public_file("/missing", 100) is None
    server.answers["/broken"] = Scripted(500)
    assert code_of(connection.public_file, "/broken", 100) == "SERVER_ERROR"


def test_the_meter_counts_the_bodies_of_successful_requests_only(server, authority):
    counted = []
    connection = SignedConnection(
        server.url, authority.pem, meter=lambda up, down: counted.append((up, down))
    )
    server.answers["/failing"] = Scripted(500, b"x" * 100)
    connection.get("/")
    connection.post_json("/", {"a": "b"})
    connection.public_file("/", 100)
    assert code_of(connection.get, "/failing") == "SERVER_ERROR"
    connection.close()
    assert counted == [(0, 5), (len(to_json({"a": "b"})), 5), (0, 5)]


def test_without_an_identity_nothing_can_be_signed(server, authority):
    connection = SignedConnection(server.url, authority.pem)
    with pytest.raises(InternalError) as raised:
        erase(connection)
    connection.close()
    assert raised.value.code == "NO_IDENTITY"
    assert server.asked == []


def test_a_hidden_certificate_is_not_shown_and_requests_are_still_signed(
    server, connection, nonces
):
    erase(connection)
    connection.hide_certificate()
    erase(connection)
    assert bool(server.asked[1].peer) is True
    assert bool(server.asked[-1].peer) is False
    assert server.asked[1].connection != server.asked[-1].connection
    assert len(nonces.spent) == 2


def test_an_expired_certificate_is_not_shown(server, connection, nonces, clock, identity_file):
    clock.wall = identity_file.load().not_after
    erase(connection)
    assert not connection.shows_certificate
    assert not any(request.peer for request in server.asked)


def test_p6_after_hanging_up_the_next_request_opens_a_connection(server, connection, nonces):
    erase(connection)
    connection.hang_up()
    erase(connection)
    assert paths(server) == [CHALLENGE, ERASE, ERASE]


def test_p2_a_closed_connection_sends_nothing_and_forgets_its_identity(server, connection):
    connection.get("/")
    connection.close()
    assert connection.identity is None
    assert code_of(connection.get, "/") == "OFFLINE"
    assert code_of(erase, connection) == "NO_IDENTITY"
    assert len(server.asked) == 1


def test_p2_a_connection_closed_before_its_first_request_never_connects(server, authority):
    connection = SignedConnection(server.url, authority.pem)
    connection.close()
    assert code_of(connection.get, "/") == "OFFLINE"
    assert server.asked == []


def test_p2_a_connection_closed_between_nonce_and_request_keeps_the_request(server, connection):
    def challenge(_):
        connection.close()
        return Scripted(body=b'{"nonce": "n"}')

    server.answers[CHALLENGE] = challenge
    assert code_of(erase, connection) == "OFFLINE"
    assert paths(server) == [CHALLENGE]
