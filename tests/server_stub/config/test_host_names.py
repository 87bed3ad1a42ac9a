import ipaddress

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from server_stub.config.host_names import MAX_HOST_CHARS, general_name, is_loopback


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost", "localhost"),
        ("aegis.example.org", "aegis.example.org"),
        ("müller.example", "xn--mller-kva.example"),
        ("a_b.example", "a_b.example"),
    ],
)
def test_a_name_is_written_as_certificates_hold_it(host, name):
    assert general_name(host) == x509.DNSName(name)


@pytest.mark.parametrize("address", ["192.0.2.7", "::1", "2001:db8::7"])
def test_an_address_is_an_address(address):
    assert general_name(address) == x509.IPAddress(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "host",
    ["", " ", "a b", "a..example", ".example", "ü" * 64, "a" * 64, "a." * 127, "a\n.b", "\udcff"],
    ids=ascii,
)
def test_any_other_text_is_refused(host):
    with pytest.raises(ValueError, match="is not a host name"):
        general_name(host)


@given(st.text(max_size=300))
def test_no_text_makes_a_name_that_a_certificate_cannot_hold(text):
    try:
        name = general_name(text)
    except ValueError:
        return
    if isinstance(name, x509.DNSName):
        assert name.value.isascii()
        assert 0 < len(name.value) <= MAX_HOST_CHARS


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("LOCALHOST.", True),
        ("0.0.0.0", False),
        ("192.0.2.7", False),
        ("aegis.example.org", False),
        ("", False),
    ],
)
def test_only_the_computer_itself_reaches_loopback(host, expected):
    assert is_loopback(host) is expected
