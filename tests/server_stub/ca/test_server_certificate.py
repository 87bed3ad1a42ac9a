import ssl
import time

import pytest
from cryptography import x509

from server_stub.ca import server_certificate
from server_stub.ca.certificates import SERVER_DAYS
from server_stub.ca.server_certificate import RENEW_BEFORE_S
from server_stub.config.settings import override
from tests.fakes.live_server import make_home

NOW = int(time.time())


@pytest.fixture
def server(tmp_path):
    return make_home(tmp_path / "server", NOW)


def certificate_of(home):
    pem = home.tls_file.read_bytes()
    return x509.load_pem_x509_certificate(pem[pem.index(b"-----BEGIN CERTIFICATE") :])


def names_of(home):
    extension = certificate_of(home).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return [str(name.value) for name in extension.value]


def test_the_file_holds_a_key_with_the_certificate_of_the_authority(server):
    home, _ = server
    authority = x509.load_pem_x509_certificate(home.ca_pem.encode())
    certificate_of(home).verify_directly_issued_by(authority)
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(home.tls_file)
    assert home.tls_file.stat().st_mode & 0o777 == 0o600


def test_loopback_names_come_before_the_configured_ones_and_each_once(server):
    home, settings = server
    hosts = ("müller.example", "192.0.2.7", "localhost")
    server_certificate.issue(home, override(settings, hosts=hosts), NOW)
    assert names_of(home) == [
        "localhost",
        "127.0.0.1",
        "::1",
        "xn--mller-kva.example",
        "192.0.2.7",
    ]


def test_a_certificate_is_renewed_thirty_days_before_its_end_with_a_new_key(server):
    home, settings = server
    before = home.tls_file.read_bytes()
    end = int(certificate_of(home).not_valid_after_utc.timestamp())
    assert not server_certificate.renew_if_due(home, settings, end - RENEW_BEFORE_S - 1)
    assert home.tls_file.read_bytes() == before
    due = end - RENEW_BEFORE_S
    assert server_certificate.renew_if_due(home, settings, due)
    assert not server_certificate.renew_if_due(home, settings, due)
    after = home.tls_file.read_bytes()
    assert after.split(b"-----BEGIN CERTIFICATE")[0] != before.split(b"-----BEGIN CERTIFICATE")[0]
    lifetime = certificate_of(home).not_valid_after_utc - certificate_of(home).not_valid_before_utc
    assert lifetime.days == SERVER_DAYS
