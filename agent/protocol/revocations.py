"""Reads the authority's signed list of revoked certificates; the authority is pinned. Sans-IO."""

import datetime
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from agent.errors import PeerError
from agent.protocol.x509_errors import X509_ERRORS

SKEW = datetime.timedelta(minutes=10)
"""A list may be this far ahead of the device's clock."""
MAX_AGE = datetime.timedelta(hours=1)
"""Of a list, by the server's time: a device that was revoked an hour ago is in no new group. The
authority signs a list whenever it is asked, and an aggregator asks often. An aggregator that lies
about the time can show a list for as long as it is valid, a day."""


@dataclass(frozen=True)
class Revocations:
    serials: frozenset[int]
    number: int
    """Rises with each list (RFC 5280 §5.2.3)."""


def read_revocations(
    crl_pem: str, ca_pem: str, now: int, least_number: int = 0, server_now: int | None = None
) -> Revocations:
    """Read a list that the pinned authority signed, that is current, and whose number is at least
    `least_number`.

    `now` in seconds since the epoch, by this computer's clock; `server_now`: by the server's, where
    it differs. Raises PeerError REVOCATIONS_BAD, REVOCATIONS_EXPIRED or REVOCATIONS_OLDER.
    """
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    try:
        issuer = x509.load_pem_x509_certificate(ca_pem.encode())
        crl = x509.load_pem_x509_crl(crl_pem.encode())
        key = issuer.public_key()
        genuine = (
            isinstance(key, EllipticCurvePublicKey)
            and crl.issuer == issuer.subject
            and crl.is_signature_valid(key)
        )
        number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        serials = frozenset(entry.serial_number for entry in crl)
    except X509_ERRORS as error:
        raise _refused("REVOCATIONS_BAD", "cannot be read", type(error).__name__) from error
    if not genuine:
        raise _refused("REVOCATIONS_BAD", "is not the enrolment authority's")
    if (
        crl.next_update_utc is None
        or not crl.last_update_utc - SKEW <= moment <= crl.next_update_utc
    ):
        raise _refused("REVOCATIONS_EXPIRED", "is not valid now, by this computer's clock")
    there = (
        moment if server_now is None else datetime.datetime.fromtimestamp(server_now, datetime.UTC)
    )
    if there - crl.last_update_utc > MAX_AGE:
        raise _refused("REVOCATIONS_EXPIRED", "is too old")
    if number < least_number:
        raise _refused("REVOCATIONS_OLDER", "is older than one that this device has seen")
    return Revocations(serials, number)


def _refused(code: str, reason: str, detail: str = "") -> PeerError:
    remedy = "This device joins no group. Check the clock, then tell the operator."
    return PeerError(code, f"The server's list of revoked certificates {reason}.", remedy, detail)
