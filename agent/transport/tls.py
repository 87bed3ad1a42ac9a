"""Makes the TLS context of a connection: TLS 1.3, one trust root, and the device's certificate."""

import ssl
from typing import TYPE_CHECKING

from agent.errors import UserActionError

if TYPE_CHECKING:
    from agent.identity.identity import Identity


OUT_OF_DATE = "out of date"
"""Detail of the error for a server's certificate that is not valid by this computer's clock."""
DATE_CODES = frozenset({9, 10})
"""OpenSSL's codes for a certificate that is not yet valid or has expired."""
_NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL, for which Python has no name."""


def client_context(
    ca_pem: str, identity: "Identity | None" = None, *, checks_dates: bool = True
) -> ssl.SSLContext:
    """Return a context that trusts `ca_pem` and nothing else, and shows `identity`'s certificate.

    Without `checks_dates` a certificate may have expired; only for asking the server's time.

    Raises UserActionError SERVER_CERTIFICATE unless `ca_pem` is exactly one certificate authority.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks names and chains by default
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_verify_locations(cadata=ca_pem)
    except (ssl.SSLError, ValueError) as error:
        raise _unusable_ca() from error
    if len(context.get_ca_certs()) != 1:
        raise _unusable_ca()
    if not checks_dates:
        context.verify_flags = ssl.VerifyFlags(context.verify_flags | _NO_CHECK_TIME)
    if identity is not None:
        identity.signer.load_into(context, identity.certificate_pem)
    return context


def _unusable_ca() -> UserActionError:
    return UserActionError(
        "SERVER_CERTIFICATE",
        "The certificate authority to trust cannot be read.",
        "Ask the operator for a new invitation.",
    )
