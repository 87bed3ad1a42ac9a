"""The session takes nothing from its environment and keeps nothing between requests."""

import pytest
import requests

from agent.transport.isolated_session import IsolatedSession
from agent.transport.open_sockets import OpenSockets
from agent.transport.pinned_adapter import PinnedAdapter
from agent.transport.tls import client_context
from tests.fakes.https_server import Scripted
from tests.fakes.timeouts import TIMEOUT_S


@pytest.fixture
def session(authority):
    sockets = OpenSockets()
    with IsolatedSession(PinnedAdapter(client_context(authority.pem), sockets)) as opened:
        yield opened
    sockets.end_request()


def test_the_environment_is_not_trusted(session):
    assert session.trust_env is False


def test_cookies_are_neither_kept_nor_sent(session, server):
    server.answers["/"] = Scripted(headers={"Set-Cookie": "track=me; Max-Age=99999"})
    for _ in range(2):
        assert session.get(server.url, timeout=TIMEOUT_S).headers["Set-Cookie"]
    assert list(session.cookies) == []
    assert all("Cookie" not in asked.headers for asked in server.asked)


def test_redirects_are_not_followed(session, server):
    server.answers["/"] = Scripted(302, headers={"Location": "/elsewhere"})
    assert session.get(server.url, timeout=TIMEOUT_S).status_code == 302
    assert len(server.asked) == 1


def test_only_https_is_allowed(session, server):
    with pytest.raises(requests.exceptions.InvalidSchema):
        session.get(server.url.replace("https", "http"), timeout=TIMEOUT_S)
