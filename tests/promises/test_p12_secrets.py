"""P12: an enrolled device at work leaves no key material in any file of its home or of the
temporary folder, nor in any argument list.
"""

import base64
import json
import sys
from pathlib import Path

import pytest

from tests.fakes import secret_service
from tests.fakes.ca import TestAuthority

DEVICE = "urn:uuid:6c1f2b3e-0000-4000-8000-000000000001"
ERASE_SECRET = "5eac" * 8

ENROLLED = """
import contextlib, json, logging, sys
from pathlib import Path
from agent.identity.device_certificate import load_key
from agent.identity.identity import FILE_NAME, IdentityFile
from agent.identity.os_keyring import OsKeyStore
from agent.identity.sealed_identity import SealedIdentity
from agent.transport.tls import client_context
from tests.fakes.ca import TestAuthority

home = Path(sys.argv[1])
logging.basicConfig(filename=home / "agent.log", level=logging.DEBUG)
authority = TestAuthority()
keystore = OsKeyStore()
file = IdentityFile(home, keystore)
file.create()
certificate = authority.issue_device(file.csr_pem(), sys.argv[2])
file.set_certificate(sys.argv[2], certificate, authority.pem, sys.argv[3][::-1], "ab" * 32)
file.renewal_csr_pem()
identity = file.load()
logging.info("%r %r", file, identity)
client_context(authority.pem, identity)
contents = SealedIdentity(home / FILE_NAME, keystore).read()
item = json.loads(keystore.get(identity.installation_id))
pems = (contents.key_pem, contents.next_key_pem)
keys = [load_key(pem).private_numbers().private_value for pem in pems]
lists = []
for path in Path("/proc").glob("[0-9]*/cmdline"):
    with contextlib.suppress(OSError):  # it has just ended
        lists.append(path.read_bytes().decode(errors="replace"))
print(json.dumps({"keys": [f"{key:064x}" for key in keys], "pems": pems,
                  "wrapping": item["key"], "arguments": lists}))
"""


@pytest.mark.system
@pytest.mark.skipif(
    bool(secret_service.missing()), reason=f"not installed: {secret_service.missing()}"
)
def test_p12_no_key_material_in_any_file_or_argument_list(tmp_path):
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    temporary.mkdir()
    root = Path(__file__).parents[2]
    # The erase secret is passed reversed: the scan must not find the test's own argument list.
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        ENROLLED,
        str(home),
        DEVICE,
        ERASE_SECRET[::-1],
    ]
    done = secret_service.run(
        command, tmp_path / "login", extra={"PYTHONPATH": str(root), "TMPDIR": str(temporary)}
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    secrets = {
        form
        for secret in (*result["keys"], result["wrapping"])
        for form in _forms(bytes.fromhex(secret))
    }
    secrets |= {
        ERASE_SECRET.encode(),
        *(
            line.encode()
            for pem in result["pems"]
            for line in pem.splitlines()[1:-1]
            if len(line) > 20
        ),
    }
    contents = {
        path: path.read_bytes()
        for folder in (home, temporary)
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert {path.name for path in contents} == {"identity.aead", "agent.log"}
    assert any(b"urn:uuid" in content for content in contents.values())
    leaks = [
        str(path) for path, content in contents.items() for secret in secrets if secret in content
    ]
    leaks += [
        line
        for line in result["arguments"]
        for secret in secrets
        if secret.decode(errors="replace") in line
    ]
    assert result["arguments"]
    assert leaks == []


def _forms(secret):
    """Return the encodings in which 32 bytes could have been written down."""
    whole = base64.b64encode(secret)
    return {
        secret,
        secret.hex().encode(),
        secret.hex().upper().encode(),
        whole.rstrip(b"="),
        base64.urlsafe_b64encode(secret).rstrip(b"="),
    }


def test_p12_the_scan_would_find_a_key(tmp_path):
    """The encodings that the scan looks for occur where a key is stored in the clear."""
    number = TestAuthority().key.private_numbers().private_value.to_bytes(32, "big")
    (tmp_path / "leak").write_text(base64.b64encode(number).decode())
    assert any(form in (tmp_path / "leak").read_bytes() for form in _forms(number))
