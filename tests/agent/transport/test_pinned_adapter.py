"""The adapter leaves its TLS context alone, whatever a caller of requests passes."""

import ssl
from contextlib import contextmanager

import pytest
import requests

from agent.transport.open_sockets import OpenSockets
from agent.transport.pinned_adapter import PinnedAdapter
from agent.transport.tls import client_context
from tests.fakes.ca import TestAuthority
from tests.fakes.https_server import HttpsServer
from tests.fakes.timeouts import TIMEOUT_S


@pytest.fixture
def context(authority):
    return client_context(authority.pem)


@contextmanager
def mounted(kind, context):
    """A session of requests over an adapter of this kind, and its sockets."""
    sockets = OpenSockets()
    with requests.Session() as opened:
        opened.mount("https://", kind(context, sockets))
        yield opened, sockets
    sockets.end_request()


@pytest.fixture
def session(context):
    with mounted(PinnedAdapter, context) as (opened, _):
        yield opened


@pytest.fixture
def foreign(tmp_path):
    """A server of another authority, and that authority's certificate in a file."""
    authority = TestAuthority("Somebody else")
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(authority.pem)
    with HttpsServer(tmp_path, *authority.issue_server()) as running:
        yield running, str(bundle)


def test_the_default_of_requests_would_add_the_public_roots(server, context):
    class Unchanged(PinnedAdapter):
        cert_verify = requests.adapters.HTTPAdapter.cert_verify

    with mounted(Unchanged, context) as (opened, _):
        assert opened.get(server.url, verify=True, timeout=TIMEOUT_S).content == b"hello"
    assert len(context.get_ca_certs()) > 1


@pytest.mark.parametrize("verify", [True, False, "bundle"])
def test_no_choice_of_a_caller_changes_what_is_trusted(session, context, server, foreign, verify):
    running, bundle = foreign
    verify = bundle if verify == "bundle" else verify
    with pytest.raises(requests.exceptions.SSLError):
        session.get(running.url, verify=verify, timeout=TIMEOUT_S)
    assert running.asked == []
    assert session.get(server.url, verify=verify, timeout=TIMEOUT_S).content == b"hello"
    assert len(context.get_ca_certs()) == 1
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..b"])
def test_a_host_name_that_cannot_exist_is_an_error_of_requests(session, host):
    with pytest.raises(requests.exceptions.RequestException):
        session.get(f"https://{host}", timeout=TIMEOUT_S)


def test_after_a_cut_nothing_connects(server, context):
    with mounted(PinnedAdapter, context) as (opened, sockets):
        opened.get(server.url, timeout=TIMEOUT_S)
        sockets.cut(permanently=True)
        for _ in range(2):  # over the connection that was cut, and without one
            with pytest.raises(requests.exceptions.ConnectionError):
                opened.get(server.url, timeout=TIMEOUT_S)
    assert len(server.asked) == 1
