"""The signer's signatures verify, and loading its key leaves no file behind."""

import ssl

import pytest

from agent.identity.device_certificate import csr_pem, load_key, new_key_pem
from agent.identity.signer import SoftwareSigner
from agent.protocol.identities import verify_signature
from tests.fakes.ca import TestAuthority

KEY_PEM = new_key_pem()


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_a_signature_is_64_bytes_and_holds_for_its_message_only():
    key = load_key(KEY_PEM)
    for number in range(50):  # some r and s have leading zeros
        message = str(number).encode()
        signature = SoftwareSigner(key).sign(message)
        assert len(signature) == 64
        assert verify_signature(key.public_key(), signature, message)
        assert not verify_signature(key.public_key(), signature, message + b"!")


def test_p12_a_context_takes_the_key_and_no_file_remains(temporary):
    certificate = TestAuthority().issue_device(csr_pem(KEY_PEM), "urn:uuid:1")
    SoftwareSigner(load_key(KEY_PEM)).load_into(ssl.create_default_context(), certificate)
    assert list(temporary.iterdir()) == []


def test_p12_no_file_remains_when_the_certificate_does_not_fit(temporary):
    other = TestAuthority().issue_device(csr_pem(new_key_pem()), "urn:uuid:1")
    with pytest.raises(ssl.SSLError):
        SoftwareSigner(load_key(KEY_PEM)).load_into(ssl.create_default_context(), other)
    assert list(temporary.iterdir()) == []
