"""The TLS certificate of the device port: issued by the enrolment authority, renewed in time."""

from cryptography import x509

from agent.files import atomic_file
from server_stub.ca import certificates
from server_stub.config.home import CA_KEY_FILE, ServerHome
from server_stub.config.settings import LOOPBACK_HOSTS, ServerSettings

RENEW_BEFORE_S = 30 * 24 * 3600
"""How long before its end a certificate is renewed."""


def issue(home: ServerHome, settings: ServerSettings, now: int) -> None:
    """Write a new key and certificate for the server's names to `home.tls_file`."""
    ca_key = certificates.load_key((home.authority / CA_KEY_FILE).read_bytes())
    ca = x509.load_pem_x509_certificate(home.ca_pem.encode())
    key = certificates.new_key()
    hosts = dict.fromkeys((*LOOPBACK_HOSTS, *settings.hosts))
    certificate = certificates.server_certificate(ca, ca_key, key, hosts, now)
    atomic_file.write(
        home.tls_file, certificates.key_pem(key) + certificates.pem(certificate).encode()
    )


def renew_if_due(home: ServerHome, settings: ServerSettings, now: int) -> bool:
    """Issue the next certificate if the current one ends soon. Says whether it did."""
    pem = home.tls_file.read_bytes()
    certificate = x509.load_pem_x509_certificate(pem[pem.index(b"-----BEGIN CERTIFICATE") :])
    if certificate.not_valid_after_utc.timestamp() - now > RENEW_BEFORE_S:
        return False
    issue(home, settings, now)
    return True
