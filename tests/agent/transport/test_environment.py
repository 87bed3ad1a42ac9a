"""The environment of this computer changes nothing: certificate bundles, .netrc and proxies.

Each test first shows that a plain session of requests does what the environment says.
"""

import pytest
import requests

from agent.errors import AegisError
from agent.transport.http import PinnedSession
from agent.transport.tls import client_context
from tests.fakes.ca import TestAuthority
from tests.fakes.connect_proxy import connect_proxy
from tests.fakes.https_server import HttpsServer, Scripted
from tests.fakes.timeouts import TIMEOUT_S

NOWHERE = "http://127.0.0.1:9"
PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in (
        *PROXY_VARIABLES,
        *("NO_PROXY", "no_proxy", "NETRC", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"),
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def foreign(tmp_path):
    """A server of another authority, and that authority's certificate in a file."""
    authority = TestAuthority("Somebody else")
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(authority.pem)
    with HttpsServer(tmp_path, *authority.issue_server()) as running:
        running.answers["/"] = Scripted(body=b"hello")
        yield running, str(bundle)


def fetch(url, context, **options):
    session = PinnedSession(url, context, **options)
    try:
        return session.send("GET", "/", max_bytes=1000).body
    finally:
        session.close()


def assert_refused(url, authority):
    context = client_context(authority.pem)
    with pytest.raises(AegisError) as raised:
        fetch(url, context)
    assert raised.value.code == "SERVER_CERTIFICATE"
    assert len(context.get_ca_certs()) == 1


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_certificate_bundle_of_the_environment_is_not_trusted(
    foreign, authority, server, monkeypatch, name
):
    running, bundle = foreign
    monkeypatch.setenv(name, bundle)
    assert requests.get(running.url, timeout=TIMEOUT_S).content == b"hello"
    assert_refused(running.url, authority)
    assert len(running.asked) == 1
    assert fetch(server.url, client_context(authority.pem)) == b"hello"


def test_the_bundle_of_openssl_is_not_trusted(foreign, authority, monkeypatch):
    import ssl

    running, bundle = foreign
    monkeypatch.setenv("SSL_CERT_FILE", bundle)
    assert len(ssl.create_default_context().get_ca_certs()) == 1
    assert_refused(running.url, authority)


def test_the_public_roots_are_not_trusted(foreign, authority, monkeypatch):
    """The foreign authority plays a public root: requests takes its roots from this file."""
    running, bundle = foreign
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", bundle)
    with requests.Session() as plain:
        plain.trust_env = False
        assert plain.get(running.url, timeout=TIMEOUT_S).content == b"hello"
    assert_refused(running.url, authority)


def test_a_password_of_netrc_is_not_sent(server, authority, foreign, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    running, bundle = foreign
    requests.get(running.url, verify=bundle, timeout=TIMEOUT_S)
    assert "Authorization" in running.asked[0].headers
    fetch(server.url, client_context(authority.pem))
    assert "Authorization" not in server.asked[0].headers


@pytest.mark.parametrize("name", PROXY_VARIABLES)
def test_a_proxy_of_the_environment_is_not_used(server, authority, monkeypatch, name):
    monkeypatch.setenv(name, NOWHERE)
    with pytest.raises(requests.exceptions.ProxyError):
        requests.get(server.url, timeout=TIMEOUT_S)
    assert fetch(server.url, client_context(authority.pem)) == b"hello"


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_the_environment_does_not_override_the_proxy_of_the_settings(
    server, authority, monkeypatch, name
):
    monkeypatch.setenv(name, "*")
    monkeypatch.setenv("HTTPS_PROXY", NOWHERE)
    context = client_context(authority.pem)
    with connect_proxy() as (url, targets):
        assert fetch(server.url, context, proxy=url) == b"hello"
    assert targets == [f"localhost:{server.port}"]
    assert len(context.get_ca_certs()) == 1
