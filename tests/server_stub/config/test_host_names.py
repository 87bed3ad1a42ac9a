"""Hosts in the one form in which certificates hold them."""

import ipaddress

import pytest

from server_stub.config.host_names import MAX_HOST_CHARS, general_name


@pytest.mark.parametrize(
    ("host", "value"),
    [
        ("FL.example.org", "FL.example.org"),
        ("müller.example", "xn--mller-kva.example"),
        ("192.0.2.7", ipaddress.ip_address("192.0.2.7")),
        ("2001:db8::1", ipaddress.ip_address("2001:db8::1")),
    ],
)
def test_hosts_as_a_certificate_holds_them(host, value):
    assert general_name(host).value == value


@pytest.mark.parametrize("host", ["", "a b", "a\nb", "x" * (MAX_HOST_CHARS + 1), "a..b", "." * 3])
def test_p11_what_is_no_host_is_refused(host):
    with pytest.raises(ValueError, match="not a host name"):
        general_name(host)
