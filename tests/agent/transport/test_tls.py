"""Every connection trusts exactly one root, checks names, and speaks nothing older than TLS 1.3."""

import ssl

import pytest

from agent.errors import AegisError
from agent.transport.tls import client_context
from tests.fakes.ca import TestAuthority

AUTHORITY, OTHER = TestAuthority(), TestAuthority()


def test_one_root_is_trusted_and_none_of_the_systems():
    context = client_context(AUTHORITY.pem)
    (root,) = context.get_ca_certs(binary_form=True)
    assert root == ssl.PEM_cert_to_DER_cert(AUTHORITY.pem)


def test_names_and_chains_are_checked_and_old_protocols_are_not_spoken():
    context = client_context(AUTHORITY.pem)
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3


@pytest.mark.parametrize(
    "ca_pem",
    ["", "no certificate", AUTHORITY.pem + OTHER.pem, AUTHORITY.pem[:200]],
    ids=["empty", "text", "two", "cut"],
)
def test_p11_anything_but_one_authority_is_refused(ca_pem):
    with pytest.raises(AegisError) as raised:
        client_context(ca_pem)
    assert raised.value.code == "SERVER_CERTIFICATE"


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_environment_adds_no_root(monkeypatch, tmp_path, name):
    (tmp_path / "other.pem").write_text(OTHER.pem)
    monkeypatch.setenv(name, str(tmp_path / "other.pem"))
    assert len(client_context(AUTHORITY.pem).get_ca_certs()) == 1
