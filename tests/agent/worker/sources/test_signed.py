"""A chain leads from a signer for code, through issuing authorities, to one that the task names.

Signatures of real programs are in tests/e2e/test_sources.py.
"""

import datetime
import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agent.worker.sources.program import Program
from agent.worker.sources.signed import Signed, chain_holds
from agent.worker.sources.source import Places
from tests.fakes.executables import executable

DAY = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def named(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Maker:
    """Makes certificates, each issued by the one before unless told otherwise."""

    def __init__(self):
        self.name, self.key = named("root"), ec.generate_private_key(ec.SECP256R1())
        self.root = self.issue("root", is_ca=True, key=self.key)

    def issue(self, name, *, is_ca, usage=None, key=None):
        own = key or ec.generate_private_key(ec.SECP256R1())
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(self.name)
            .public_key(own.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(DAY)
            .not_valid_after(DAY + datetime.timedelta(days=900))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        )
        if usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        if is_ca:
            self.name, self.key = named(name), own
        return certificate.public_bytes(serialization.Encoding.DER)


def sha256(der):
    return hashlib.sha256(der).hexdigest()


@pytest.fixture
def chain():
    maker = Maker()
    middle = maker.issue("middle", is_ca=True)
    leaf = maker.issue("leaf", is_ca=False, usage=ExtendedKeyUsageOID.CODE_SIGNING)
    return maker, middle, leaf


def test_a_chain_ends_at_a_named_authority_of_any_height(chain):
    maker, middle, leaf = chain
    brought = [leaf, middle, maker.root]
    assert chain_holds(leaf, brought, {sha256(middle)})
    assert chain_holds(leaf, brought, {sha256(maker.root)})
    assert chain_holds(leaf, [middle], {sha256(middle)})


def test_without_a_named_authority_nothing_holds(chain):
    maker, middle, leaf = chain
    assert not chain_holds(leaf, [leaf, middle, maker.root], {sha256(leaf), "00" * 32})
    assert not chain_holds(leaf, [leaf], {sha256(middle)})
    assert not chain_holds(leaf, [leaf, maker.root], {sha256(maker.root)})


def test_a_signer_for_other_things_does_not_sign_code(chain):
    maker, middle, _ = chain
    for usage in (None, ExtendedKeyUsageOID.SERVER_AUTH):
        leaf = maker.issue("leaf", is_ca=False, usage=usage)
        assert not chain_holds(leaf, [leaf, middle], {sha256(middle)})


def test_an_issuer_of_the_same_name_with_another_key_issued_nothing(chain):
    _, _, leaf = chain
    impostor = Maker().issue("middle", is_ca=True)
    assert not chain_holds(leaf, [leaf, impostor], {sha256(impostor)})


def test_a_certificate_that_is_no_authority_issues_nothing():
    maker = Maker()
    own = ec.generate_private_key(ec.SECP256R1())
    not_ca = maker.issue("middle", is_ca=False, key=own)
    maker.name, maker.key = named("middle"), own
    leaf = maker.issue("leaf", is_ca=False, usage=ExtendedKeyUsageOID.CODE_SIGNING)
    assert not chain_holds(leaf, [leaf, not_ca, maker.root], {sha256(maker.root), sha256(not_ca)})


def test_p11_what_is_no_certificate_is_an_error(chain):
    with pytest.raises(ValueError, match="pars"):
        chain_holds(b"nonsense", [], {"00" * 32})


def test_a_program_without_a_signature_is_not_known(tmp_path):
    for name, content in (("a", executable()), ("b", b"MZ"), ("c", executable(start=0xFFFFFF))):
        (tmp_path / name).write_bytes(content)
        source = Signed(Places([], ["00" * 32]), [])
        assert not source.knows(Program(str(tmp_path / name)))
