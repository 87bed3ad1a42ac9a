import datetime
import hashlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from agent.errors import OperatorActionError, PeerError
from agent.identity.signer import SoftwareSigner
from agent.protocol import identities, log_tree
from agent.protocol.canonical import canonical
from agent.protocol.http_signature import SignatureParameters, sign_request
from agent.protocol.issuance import LIST_SIGNING_CONTEXT, read_head
from agent.protocol.peer_enrolment import EnrolledBefore, check_members
from agent.protocol.witness import DrawRequest, statement
from server_stub.ca.authority import RENEWABLE_S, Authority, SignedRequest, create
from server_stub.ca.certificates import DEVICE_S
from tests.fakes.clock import FakeClock


@pytest.fixture
def clock():
    return FakeClock(int(time.time()))


@pytest.fixture
def authority(tmp_path, clock):
    create(tmp_path / "ca", "Test authority", clock.now())
    opened = Authority(tmp_path / "ca", clock)
    yield opened
    opened.close()


def csr(key):
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .sign(key, SHA256())
        .public_bytes(Encoding.PEM)
        .decode()
    )


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def enrol(authority, token=None):
    key = new_key()
    return authority.enrol(token or authority.add_token(1, 900), csr(key)), key


def renewal(device_id, key, body):
    headers = sign_request(
        "POST",
        "h:1",
        "/api/v1/certificate",
        "application/json",
        body,
        SignatureParameters(device_id, "n" * 8, 1),
        SoftwareSigner(key).sign,
    )
    lower = {name.lower(): value for name, value in headers.items()}
    return SignedRequest("POST", "h:1", "/api/v1/certificate", lower, body)


def signed_renewal(device_id, key, next_key):
    return renewal(device_id, key, json.dumps({"csr_pem": csr(next_key)}).encode())


def code(call, *values):
    with pytest.raises(PeerError) as caught:
        call(*values)
    return caught.value.code


def test_a_device_certificate_is_for_client_authentication_seven_days_and_one_urn(authority, clock):
    issued, key = enrol(authority)
    certificate = x509.load_pem_x509_certificate(issued.certificate_pem.encode())
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.ca_pem.encode()))
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert [name.value for name in names] == [issued.device_id]
    assert issued.device_id.startswith("urn:uuid:")
    assert certificate.public_key() == key.public_key()
    assert int(certificate.not_valid_after_utc.timestamp()) == clock.now() + DEVICE_S
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_a_token_enrols_as_many_devices_as_it_allows(authority):
    token = authority.add_token(3, 900)
    assert len({enrol(authority, token)[0].device_id for _ in range(3)}) == 3
    assert code(enrol, authority, token) == "TOKEN_USED"


def test_the_same_token_and_key_get_the_same_certificate(authority):
    token, key = authority.add_token(2, 900), new_key()
    first = authority.enrol(token, csr(key))
    assert authority.enrol(token, csr(key)) == first
    assert authority.log_head()["size"] == 1
    other = authority.add_token(1, 900)
    assert code(authority.enrol, other, csr(key)) == "TOKEN_USED"


def test_a_token_is_valid_until_it_expires(authority, clock):
    token = authority.add_token(2, 900)
    clock.advance(899)
    issued, key = enrol(authority, token)
    clock.advance(1)
    assert code(enrol, authority, token) == "TOKEN_EXPIRED"
    assert authority.enrol(token, csr(key)) == issued
    assert code(enrol, authority, "unknown") == "TOKEN_UNKNOWN"


def test_an_expired_token_is_deleted_once_no_device_depends_on_it(authority, clock):
    used, unused = authority.add_token(1, 900), authority.add_token(1, 900)
    issued, key = enrol(authority, used)
    clock.advance(900 + RENEWABLE_S + 1)
    authority.add_token(1, 900)
    assert code(enrol, authority, unused) == "TOKEN_UNKNOWN"
    assert authority.enrol(used, csr(key)) == issued


def test_only_a_tokens_hash_is_stored(authority, tmp_path):
    token = authority.add_token(1, 900)
    enrol(authority, token)
    for path in (tmp_path / "ca").iterdir():
        assert token.encode() not in path.read_bytes()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----",
        "a" * 9000,
    ],
)
def test_a_malformed_certificate_request_is_refused(authority, text):
    assert code(authority.enrol, authority.add_token(1, 900), text) == "BAD_CSR"


def test_a_request_for_another_kind_of_key_is_refused_and_costs_no_token_use(authority):
    token = authority.add_token(1, 900)
    assert code(authority.enrol, token, csr(ec.generate_private_key(ec.SECP384R1()))) == "BAD_CSR"
    assert code(authority.enrol, token, csr(rsa.generate_private_key(65537, 2048))) == "BAD_CSR"
    enrol(authority, token)


def test_renewal_needs_the_devices_own_signature(authority):
    issued, key = enrol(authority)
    other, other_key = enrol(authority)
    request = signed_renewal(issued.device_id, key, next_key := new_key())
    renewed = authority.renew(request)
    assert authority.renew(request) == renewed
    assert renewed.device_id == issued.device_id
    assert (
        code(authority.renew, signed_renewal(issued.device_id, other_key, new_key()))
        == "BAD_REQUEST_SIGNATURE"
    )
    assert (
        code(authority.renew, signed_renewal("urn:uuid:none", key, new_key()))
        == "BAD_REQUEST_SIGNATURE"
    )
    assert code(authority.renew, signed_renewal(other.device_id, other_key, next_key)) == "BAD_CSR"
    assert code(authority.renew, renewal(issued.device_id, key, b'{"csr_pem": 1}')) == "BAD_CSR"
    altered = SignedRequest(
        request.method, request.authority, request.path, request.headers, request.body + b" "
    )
    assert code(authority.renew, altered) == "BAD_REQUEST_SIGNATURE"


def test_the_newest_two_keys_may_renew(authority):
    """The device may never have received the certificate of the newest one."""
    issued, first = enrol(authority)
    second, third = new_key(), new_key()
    authority.renew(signed_renewal(issued.device_id, first, second))
    authority.renew(signed_renewal(issued.device_id, first, third))
    assert (
        code(authority.renew, signed_renewal(issued.device_id, first, new_key()))
        == "BAD_REQUEST_SIGNATURE"
    )
    authority.renew(signed_renewal(issued.device_id, third, new_key()))


def test_an_expired_certificate_may_be_renewed_for_ninety_days(authority, clock):
    issued, key = enrol(authority)
    clock.advance(DEVICE_S + RENEWABLE_S)
    next_key = new_key()
    authority.renew(signed_renewal(issued.device_id, key, next_key))
    clock.advance(DEVICE_S + RENEWABLE_S + 1)
    late = signed_renewal(issued.device_id, next_key, new_key())
    assert code(authority.renew, late) == "CERTIFICATE_EXPIRED"


def test_a_record_lists_a_devices_certificates(authority):
    issued, key = enrol(authority)
    renewed = authority.renew(signed_renewal(issued.device_id, key, new_key()))
    record = authority.device_record(issued.device_id)
    assert [one["pem"] for one in record["certificates"]] == [
        issued.certificate_pem,
        renewed.certificate_pem,
    ]
    assert record["ended_at"] is None
    assert authority.device_record("urn:uuid:none") == {}


def test_a_revoked_certificate_is_in_the_list_until_it_has_expired(authority, clock):
    issued, key = enrol(authority)
    serial = x509.load_pem_x509_certificate(issued.certificate_pem.encode()).serial_number
    assert authority.revoke(issued.device_id)
    assert authority.revoke(issued.device_id)
    assert not authority.revoke("urn:uuid:none")
    listed = x509.load_pem_x509_crl(authority.revocations().encode())
    assert listed.is_signature_valid(
        x509.load_pem_x509_certificate(authority.ca_pem.encode()).public_key()
    )
    assert [one.serial_number for one in listed] == [serial]
    assert code(authority.renew, signed_renewal(issued.device_id, key, new_key())) == "REVOKED"
    clock.advance(DEVICE_S + 1)
    assert not list(x509.load_pem_x509_crl(authority.revocations().encode()))


def test_a_forgotten_device_leaves_no_name_and_cannot_use_its_token_again(authority, tmp_path):
    token = authority.add_token(1, 900)
    issued, key = enrol(authority, token)
    fingerprint = (
        x509.load_pem_x509_certificate(issued.certificate_pem.encode()).fingerprint(SHA256()).hex()
    )
    authority.revoke(issued.device_id, forget=True)
    assert code(authority.enrol, token, csr(key)) == "TOKEN_USED"
    assert (
        code(authority.renew, signed_renewal(issued.device_id, key, new_key()))
        == "BAD_REQUEST_SIGNATURE"
    )
    assert authority.log_proof(fingerprint)["index"] == 0
    authority.close()
    content = b"".join(path.read_bytes() for path in (tmp_path / "ca").glob("ca.sqlite3*"))
    assert issued.device_id.encode() not in content


def test_a_missing_or_damaged_key_is_an_error_for_the_operator(tmp_path, clock):
    create(tmp_path / "ca", "Test authority", clock.now())
    for content in (b"not a key", None):
        file = tmp_path / "ca" / "ca.key"
        file.unlink() if content is None else file.write_bytes(content)
        with pytest.raises(OperatorActionError) as refused:
            Authority(tmp_path / "ca", clock)
        assert refused.value.code == "CA_KEY"


def test_the_log_can_be_audited(authority):
    issued, _ = enrol(authority)
    earlier = authority.log_head()
    for _ in range(4):
        enrol(authority)
    head = authority.log_head()
    certificate = x509.load_pem_x509_certificate(issued.certificate_pem.encode())
    proof = authority.log_proof(certificate.fingerprint(SHA256()).hex())
    steps = [bytes.fromhex(step) for step in proof["proof"]]
    assert json.loads(proof["entry"])["event"] == "issued"
    assert log_tree.is_included(
        log_tree.leaf_hash(proof["entry"].encode()),
        proof["index"],
        proof["size"],
        steps,
        bytes.fromhex(head["root"]),
    )
    grown = authority.log_consistency(earlier["size"])
    roots = (bytes.fromhex(earlier["root"]), bytes.fromhex(head["root"]))
    assert log_tree.is_consistent(
        earlier["size"], head["size"], *roots, [bytes.fromhex(step) for step in grown["proof"]]
    )
    assert code(authority.log_proof, hashlib.sha256(b"").hexdigest()) == "NOT_IN_LOG"
    assert code(authority.log_consistency, 99) == "NOT_IN_LOG"
    public = x509.load_pem_x509_certificate(authority.ca_pem.encode()).public_key()
    signed = canonical({"size": head["size"], "root": head["root"]})
    public.verify(
        bytes.fromhex(head["signature"]), LIST_SIGNING_CONTEXT + signed, ec.ECDSA(SHA256())
    )
    with pytest.raises(InvalidSignature):
        public.verify(
            bytes.fromhex(earlier["signature"]), LIST_SIGNING_CONTEXT + signed, ec.ECDSA(SHA256())
        )


def test_the_log_shows_how_long_the_devices_of_a_group_have_been_enrolled(authority, clock):
    start, fingerprints, keys = clock.now(), [], []
    for _ in range(3):
        issued, key = enrol(authority)
        keys.append((issued.device_id, key))
        fingerprints.append(fingerprint_of(issued))
    clock.advance(9 * 86_400)
    renewed = authority.renew(signed_renewal(*keys[1], new_key()))
    late, _ = enrol(authority)
    group = [fingerprints[0], fingerprint_of(renewed)]
    head = read_head(authority.log_head(), authority.ca_pem)
    answer = authority.log_members(group)
    assert [entry["index"] for entry in answer["entries"]] == [0, 1, 3]
    check_members(head, answer, group, EnrolledBefore(start, 3))
    group.append(fingerprint_of(late))
    with pytest.raises(PeerError, match=r"enrolled too recently|enrolled long before"):
        check_members(head, authority.log_members(group), group, EnrolledBefore(start))
    assert code(authority.log_members, [hashlib.sha256(b"").hexdigest()]) == "NOT_IN_LOG"
    assert code(authority.log_members, group, 4) == "NOT_IN_LOG"
    assert code(authority.log_members, group, 99) == "NOT_IN_LOG"


def fingerprint_of(issued):
    certificate = x509.load_pem_x509_certificate(issued.certificate_pem.encode())
    return certificate.fingerprint(SHA256()).hex()


REQUEST = DrawRequest("task", 7, b"c" * 32, 64, b"l" * 32)


def test_p6_the_authority_witnesses_one_draw_of_each_round_for_good(authority, tmp_path, clock):
    witnessed = authority.witness(REQUEST)
    pinned = identities.Authority(
        authority.ca_pem, datetime.datetime.fromtimestamp(clock.now(), datetime.UTC), frozenset()
    )
    assert pinned.has_signed(witnessed.signature, statement(REQUEST, witnessed.seed))
    with closing(Authority(tmp_path / "ca", clock)) as restarted:
        assert restarted.witness(REQUEST) == witnessed
        for change in (
            {"advertised": 63},
            {"leaves": b"m" * 32},
            {"context": b"d" * 32},
        ):
            with pytest.raises(PeerError) as refused:
                restarted.witness(replace(REQUEST, **change))
            assert refused.value.code == "WITNESS_REFUSED"


def test_p6_the_seeds_of_other_rounds_and_tasks_are_their_own(authority):
    others = [REQUEST, replace(REQUEST, round_id=8), replace(REQUEST, task_id="other")]
    assert len({authority.witness(one).seed for one in others}) == 3


def test_p6_processes_that_ask_at_the_same_time_get_one_draw(tmp_path, authority, clock):
    requests = [replace(REQUEST, leaves=bytes([number]) * 32) for number in range(8)]

    def ask(request):
        with closing(Authority(tmp_path / "ca", clock)) as one:
            try:
                return one.witness(request)
            except PeerError as error:
                return error.code

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, requests))
    assert answers.count("WITNESS_REFUSED") == 7
