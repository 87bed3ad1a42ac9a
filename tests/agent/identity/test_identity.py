"""An identity is made, certified, renewed and destroyed; every crash in between leaves something
that works.
"""

import contextlib
import stat

import pytest
from cryptography.x509 import load_pem_x509_certificate, load_pem_x509_csr

from agent.errors import PeerError, UserActionError
from agent.identity.identity import FILE_NAME, IdentityFile
from agent.identity.memory_keystore import MemoryKeyStore
from agent.protocol.identities import verify_signature
from tests.fakes.ca import DAY, TestAuthority
from tests.fakes.keystore import RecordingKeyStore

DEVICE = "urn:uuid:6c1f2b3e-0000-4000-8000-000000000001"
SECRET = "5e" * 16


class CrashingKeyStore(RecordingKeyStore):
    """Raises at the put or delete that ends the countdown, before or after doing it."""

    def __init__(self, countdown: int = -1, *, after: bool = False) -> None:
        super().__init__()
        self.countdown = countdown
        self.after = after

    def _act(self, action):
        self.countdown -= 1
        if self.countdown == 0 and not self.after:
            raise RuntimeError("crash")
        action()
        if self.countdown == 0:
            raise RuntimeError("crash")

    def put(self, name, secret):
        self._act(lambda: RecordingKeyStore.put(self, name, secret))

    def delete(self, name, *, may_prompt=False):
        self._act(lambda: RecordingKeyStore.delete(self, name))


@pytest.fixture(scope="module")
def authority():
    return TestAuthority()


def enroll(identity, authority, **options):
    identity.create()
    certificate = authority.issue_device(identity.csr_pem(), DEVICE, **options)
    identity.set_certificate(DEVICE, certificate, authority.pem, SECRET, "ab" * 32)
    return certificate


def test_an_enrolled_identity_can_be_loaded_and_its_file_is_private(tmp_path, authority):
    keystore = MemoryKeyStore()
    certificate = enroll(IdentityFile(tmp_path, keystore), authority)
    identity = IdentityFile(tmp_path, keystore).load()
    assert (identity.device_id, identity.erase_secret, identity.certificate_pem) == (
        DEVICE,
        SECRET,
        certificate,
    )
    assert identity.not_after - identity.not_before == 8 * 86400
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_p12_no_key_and_no_secret_is_readable_on_disk_or_in_a_repr(tmp_path, authority):
    keystore = MemoryKeyStore()
    certificate = enroll(IdentityFile(tmp_path, keystore), authority)
    content = (tmp_path / FILE_NAME).read_bytes()
    for secret in (b"PRIVATE KEY", SECRET.encode(), DEVICE.encode(), certificate.encode()[40:90]):
        assert secret not in content
    identity = IdentityFile(tmp_path, keystore).load()
    assert SECRET not in repr(identity)
    assert "signer" not in repr(identity)


def test_an_interrupted_enrolment_keeps_its_key(tmp_path):
    identity = IdentityFile(tmp_path, MemoryKeyStore())
    identity.create()
    first = identity.csr_pem()
    with pytest.raises(UserActionError) as raised:
        identity.load()
    assert raised.value.code == "NOT_ENROLLED"
    identity.create()
    assert _public(identity.csr_pem()) == _public(first)


def _public(csr_pem):
    return load_pem_x509_csr(csr_pem.encode()).public_key()


def test_an_enrolled_device_is_not_overwritten(tmp_path, authority):
    identity = IdentityFile(tmp_path, MemoryKeyStore())
    enroll(identity, authority)
    with pytest.raises(UserActionError) as raised:
        identity.create()
    assert raised.value.code == "ALREADY_ENROLLED"


def test_a_certificate_that_does_not_fit_changes_nothing(tmp_path, authority):
    identity = IdentityFile(tmp_path, MemoryKeyStore())
    identity.create()
    good = authority.issue_device(identity.csr_pem(), DEVICE)
    for wrong in (authority.issue_device(identity.csr_pem(), DEVICE + "2"), "not a certificate"):
        with pytest.raises(PeerError) as raised:
            identity.set_certificate(DEVICE, wrong, authority.pem, SECRET, "")
        assert raised.value.code == "BAD_CERTIFICATE"
    identity.set_certificate(DEVICE, good, authority.pem, SECRET, "")
    assert identity.load().certificate_pem == good


def test_derived_keys_differ_by_label_and_survive_a_renewal(tmp_path, authority):
    identity = IdentityFile(tmp_path, MemoryKeyStore())
    enroll(identity, authority)
    one, other = identity.derived_key("one"), identity.derived_key("other")
    assert len(one) == 32
    assert one != other
    identity.set_renewed(authority.issue_device(identity.renewal_csr_pem(), DEVICE), authority.pem)
    assert identity.derived_key("one") == one


def test_renewal_takes_a_new_key_and_keeps_the_name(tmp_path, authority):
    identity = IdentityFile(tmp_path, MemoryKeyStore())
    enroll(identity, authority)
    before = identity.load()
    csr = identity.renewal_csr_pem()
    assert _public(identity.renewal_csr_pem()) == _public(csr)
    renewed = authority.issue_device(csr, DEVICE, end=14 * DAY)
    identity.set_renewed(renewed, authority.pem)
    after = identity.load()
    assert after.not_after > before.not_after
    assert after.device_id == DEVICE
    assert after.erase_secret == SECRET
    key = load_pem_x509_certificate(after.certificate_pem.encode()).public_key()
    assert key != load_pem_x509_certificate(before.certificate_pem.encode()).public_key()
    assert verify_signature(key, after.signer.sign(b"message"), b"message")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", range(1, 6))
def test_p10_a_crash_at_any_step_leaves_an_identity_that_opens(tmp_path, authority, step, after):
    keystore = CrashingKeyStore(step, after=after)
    identity = IdentityFile(tmp_path, keystore)
    with contextlib.suppress(RuntimeError):
        enroll(identity, authority)
        identity.set_renewed(
            authority.issue_device(identity.renewal_csr_pem(), DEVICE), authority.pem
        )
    keystore.countdown = -1
    again = IdentityFile(tmp_path, keystore)
    with contextlib.suppress(UserActionError):  # ALREADY_ENROLLED, when the crash came later
        enroll(again, authority)
    assert again.load().device_id == DEVICE
    again.set_renewed(authority.issue_device(again.renewal_csr_pem(), DEVICE), authority.pem)
    assert again.load().device_id == DEVICE
    assert len(keystore.names) == 1


@pytest.mark.parametrize("after", [False, True])
def test_p2_destroy_drops_the_key_at_once_and_can_be_repeated(tmp_path, authority, after):
    keystore = CrashingKeyStore()
    identity = IdentityFile(tmp_path, keystore)
    enroll(identity, authority)
    keystore.countdown, keystore.after = 1, after
    with pytest.raises(RuntimeError):
        identity.destroy()
    assert len((tmp_path / FILE_NAME).read_bytes()) < 120
    with pytest.raises(UserActionError) as raised:
        identity.load()
    assert raised.value.code == "NOT_ENROLLED"
    identity.destroy()
    identity.destroy()
    assert not keystore.names
    assert list(tmp_path.iterdir()) == []
