"""The list of revoked certificates counts when it is the pinned authority's, for now, and not older
than one already seen.
"""

import base64
import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import AegisError
from agent.protocol.revocations import MAX_AGE, SKEW, Revocations, read_revocations
from server_stub.ca import certificates

NOW = 1_800_000_000
SKEW_S = int(SKEW.total_seconds())
CA_KEY = certificates.new_key()
CA = certificates.authority_certificate(CA_KEY, "Authority", NOW)
CA_PEM = certificates.pem(CA)
LIST = certificates.revocation_list(CA, CA_KEY, 7, [(123, NOW - 60), (2**100, NOW - 50)], NOW)


def refusal(listed=LIST, ca_pem=CA_PEM, now=NOW, least_number=0):
    with pytest.raises(AegisError) as raised:
        read_revocations(listed, ca_pem, now, least_number)
    return raised.value.code


def test_a_current_list_is_read():
    assert read_revocations(LIST, CA_PEM, NOW) == Revocations(frozenset({123, 2**100}), 7)
    empty = certificates.revocation_list(CA, CA_KEY, 1, [], NOW)
    assert read_revocations(empty, CA_PEM, NOW) == Revocations(frozenset(), 1)


def test_p3_a_list_holds_for_its_time_and_a_little_before():
    last = NOW + int(MAX_AGE.total_seconds())
    assert all(read_revocations(LIST, CA_PEM, moment) for moment in (NOW - SKEW_S, NOW, last))
    assert [refusal(now=moment) for moment in (NOW - SKEW_S - 1, last + 1)] == [
        "REVOCATIONS_EXPIRED"
    ] * 2


def test_p6_a_list_is_an_hour_old_at_most_by_the_servers_time():
    hour = int(MAX_AGE.total_seconds())
    last = NOW + certificates.REVOCATION_LIST_S
    assert read_revocations(LIST, CA_PEM, last, server_now=NOW + hour).number == 7
    with pytest.raises(AegisError, match="too old"):
        read_revocations(LIST, CA_PEM, NOW, server_now=NOW + hour + 1)
    with pytest.raises(AegisError, match="not valid now"):
        read_revocations(LIST, CA_PEM, last + 1, server_now=NOW)


def test_p3_an_older_list_than_the_last_one_is_refused():
    assert read_revocations(LIST, CA_PEM, NOW, least_number=7).number == 7
    assert refusal(least_number=8) == "REVOCATIONS_OLDER"


def test_p3_another_authoritys_list_is_refused_even_under_the_same_name():
    other_key = certificates.new_key()
    for name in ("Authority", "Other"):
        other = certificates.authority_certificate(other_key, name, NOW)
        assert (
            refusal(certificates.revocation_list(other, other_key, 9, [], NOW)) == "REVOCATIONS_BAD"
        )


def test_p11_a_list_without_a_number_is_refused():
    moment = datetime.datetime.fromtimestamp(NOW, datetime.UTC)
    builder = x509.CertificateRevocationListBuilder(
        CA.subject, moment, moment + datetime.timedelta(days=1)
    )
    crl = builder.sign(CA_KEY, SHA256()).public_bytes(Encoding.PEM).decode()
    assert refusal(crl) == "REVOCATIONS_BAD"


def test_p11_a_list_of_an_unknown_version_is_refused():
    der = x509.load_pem_x509_crl(LIST.encode()).public_bytes(Encoding.DER)
    version = der.index(b"\x02\x01\x01") + 2  # INTEGER 1: version 2
    damaged = der[:version] + b"\x69" + der[version + 1 :]
    encoded = base64.encodebytes(damaged).decode()
    listed = f"-----BEGIN X509 CRL-----\n{encoded}-----END X509 CRL-----\n"
    assert refusal(listed) == "REVOCATIONS_BAD"


@given(st.integers(0, len(LIST) - 1), st.sampled_from("\0Aa1-\n"))
def test_p11_a_damaged_list_is_read_as_it_was_or_refused(at, character):
    damaged = LIST[:at] + character + LIST[at + 1 :]
    try:
        outcome = read_revocations(damaged, CA_PEM, NOW)
    except AegisError as error:
        outcome = error.code
    assert outcome in ("REVOCATIONS_BAD", read_revocations(LIST, CA_PEM, NOW))


@pytest.mark.parametrize("text", ["", "no list", CA_PEM])
def test_p11_what_is_no_list_is_refused(text):
    assert refusal(text) == "REVOCATIONS_BAD"
