"""Which certificates the authority has taken back: its signed list, read against the pinned
authority. Sans-IO.
"""

import datetime
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from agent.errors import PeerError

SKEW = datetime.timedelta(minutes=10)
"""The list may be from so far ahead of this device's clock."""


@dataclass(frozen=True)
class Revocations:
    serials: frozenset[int]
    number: int
    """Rises with every list (RFC 5280 §5.2.3)."""


def read_revocations(crl_pem: str, ca_pem: str, now: int, least_number: int = 0) -> Revocations:
    """The list, when it is the pinned authority's, current, and not older than the list with
    `least_number`.

    `now` in seconds since the epoch. Raises PeerError REVOCATIONS_BAD, REVOCATIONS_EXPIRED,
    REVOCATIONS_OLDER.
    """
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    try:
        issuer = x509.load_pem_x509_certificate(ca_pem.encode())
        made = x509.load_pem_x509_crl(crl_pem.encode())
        key = issuer.public_key()
        genuine = (
            isinstance(key, EllipticCurvePublicKey)
            and made.issuer == issuer.subject
            and made.is_signature_valid(key)
        )
        number = made.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        serials = frozenset(entry.serial_number for entry in made)
    except (ValueError, TypeError, x509.ExtensionNotFound) as error:
        raise _refused("REVOCATIONS_BAD", "cannot be read", type(error).__name__) from error
    if not genuine:
        raise _refused("REVOCATIONS_BAD", "is not the enrolment authority's")
    if (
        made.next_update_utc is None
        or not made.last_update_utc - SKEW <= moment <= made.next_update_utc
    ):
        raise _refused("REVOCATIONS_EXPIRED", "is not for now by this computer's clock")
    if number < least_number:
        raise _refused("REVOCATIONS_OLDER", "is older than one already seen")
    return Revocations(serials, number)


def _refused(code: str, reason: str, detail: str = "") -> PeerError:
    remedy = "This device joins no group. Check the clock, then tell the operator."
    return PeerError(code, f"The server's list of revoked certificates {reason}.", remedy, detail)
