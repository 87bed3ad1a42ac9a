"""Host names and addresses in the form that certificates hold."""

import ipaddress

from cryptography import x509

MAX_HOST_CHARS = 253


def general_name(host: str) -> x509.GeneralName:
    """Turn a host name or address into a certificate's name (RFC 5280).

    "müller.example" becomes "xn--mller-kva.example". Raises ValueError for anything else.
    """
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        name = host.encode("idna").decode()
    except UnicodeError as error:
        raise ValueError(f"{host[:80]!r} is not a host name") from error
    if not name or len(name) > MAX_HOST_CHARS or any(character.isspace() for character in name):
        raise ValueError(f"{host[:80]!r} is not a host name")
    return x509.DNSName(name)


def is_loopback(host: str) -> bool:
    """Whether only the computer itself reaches `host`, a name or an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.rstrip(".").lower() == "localhost"
