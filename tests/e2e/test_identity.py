"""Enrolment, revocation and signed models with the real programs, each in its own process, as an
operator and a person use them.
"""

import contextlib
import datetime
import json
import shutil
import sqlite3
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Timestamp

from server_stub.publishing import tuf_repository
from tests.fakes import secret_service
from tests.fakes.aggregator import safetensors
from tests.fakes.installation import Installation
from tests.fakes.timeouts import CYCLE_TIMEOUT_S, TIMEOUT_S, until

pytestmark = pytest.mark.system

STRANGERS = {
    "/": 401,
    "/healthz": 200,
    "/metrics": 401,
    "/docs": 401,
    "/openapi.json": 401,
    "/api/v1/stats": 401,
    "/api/v1/model": 401,
    "/api/v1/device": 401,
    "/api/v1/rounds/offer": 401,
    "/api/v1/log": 401,
    "/api/v1/revocations": 401,
    "/api/v1/metadata/timestamp.json": 200,
    "/api/v1/metadata/1.root.json": 200,
    "/api/v1/targets/../keys/online.pem": 404,
}


class OperatedInstallation(Installation):
    """An installation with an operator who publishes models and revokes devices."""

    def __init__(self, folder):
        super().__init__(folder)
        self.folder = folder
        self.repository = folder / "server" / "repository"
        self.url = f"https://127.0.0.1:{self.port}"

    def refusal(self, *words):
        """Run `aegis`, which must refuse. Return the code and the sentence of the error."""
        done = self.run_aegis(*words)
        assert done.returncode == 1, done.stdout
        error = json.loads(done.stdout)["error"]
        assert done.stderr.startswith(f"aegis: {error['code']}: ")
        assert done.stderr.count("\n") == 1
        return error["code"], error["message"]

    def run_aegis(self, *words):
        command = [sys.executable, "-m", "agent", *words, "--json"]
        return subprocess.run(
            command,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=CYCLE_TIMEOUT_S,
            check=False,
        )

    def model_in_use(self):
        return self.aegis("status")["model"]["version"]

    def newest_device(self):
        return json.loads(self.server("devices", "list", "--json"))["devices"][-1]["device_id"]

    def publish(self, value):
        path = self.folder / f"model-{value}.safetensors"
        path.write_bytes(safetensors([value] * 116))
        version = json.loads(self.server("model", "publish", str(path), "--end-round", "--json"))[
            "version"
        ]
        until(lambda: self.round()["base_version"] == version, what="the round on the new model")
        return version

    def round(self):
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.operator_port}/api/v1/stats", timeout=TIMEOUT_S
        ) as answer:
            return json.load(answer)["round"]

    def get(self, path):
        context = ssl.create_default_context(cafile=self.folder / "server" / "ca" / "ca.pem")
        try:
            with urllib.request.urlopen(
                self.url + path, timeout=TIMEOUT_S, context=context
            ) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            with error:
                return error.code


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    installation = OperatedInstallation(tmp_path_factory.mktemp("installation"))
    try:
        installation.join(installation.url)
        yield installation
    finally:
        installation.close()


def test_a_client_without_a_certificate_reaches_only_the_public_paths(installation):
    assert {path: installation.get(path) for path in STRANGERS} == STRANGERS
    listening = subprocess.run(["ss", "-ltnH"], capture_output=True, text=True, check=True).stdout
    own = {
        line.split()[3]
        for line in listening.splitlines()
        if line.split()[3].endswith((f":{installation.operator_port}",))
    }
    assert own == {f"127.0.0.1:{installation.operator_port}"}


def test_revoking_a_device_affects_no_other(installation, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(installation.environ, "AEGIS_HOME", str(installation.folder / "other"))
        installation.join(installation.url)
        assert installation.aegis("run", "--once")["outcome"] in ("sent", "already_contributed")
        installation.server("devices", "revoke", installation.newest_device())
        assert installation.refusal("run", "--once")[0] == "REVOKED"
    assert installation.aegis("run", "--once")["outcome"] in ("sent", "already_contributed")


def test_p8_each_bad_model_is_refused_with_its_own_code_and_the_old_one_stays(installation):
    installation.aegis("run", "--once")
    before = installation.model_in_use()
    early = shutil.copytree(installation.repository / "metadata", installation.folder / "early")

    newer = installation.publish(0.5)
    assert newer > before
    target = max(
        (installation.repository / "targets" / "models").iterdir(),
        key=lambda path: path.stat().st_mtime_ns,
    )
    good = target.read_bytes()
    target.write_bytes(bytes([*good[:-1], good[-1] ^ 1]))
    assert installation.refusal("run", "--once")[0] == "MODEL_ALTERED"
    target.write_bytes(good + bytes(100_000))
    assert installation.refusal("run", "--once")[0] == "MODEL_TOO_LARGE"
    target.write_bytes(good)
    stamp = installation.repository / "metadata" / "timestamp.json"
    current = stamp.read_bytes()
    stamp.write_bytes(signed_as_of(installation.repository, days=-3))
    code, sentence = installation.refusal("run", "--once")
    assert (code, "has expired" in sentence) == ("MODEL_EXPIRED", True)
    stamp.write_bytes(current)
    assert installation.model_in_use() == before

    assert installation.aegis("run", "--once")["outcome"] == "sent"
    assert installation.model_in_use() == newer
    assert installation.publish(0.25) == newer + 1
    stamp.write_bytes((early / "timestamp.json").read_bytes())
    code, _ = installation.refusal("run", "--once")
    # A device that is quick sees older metadata. Meanwhile the aggregator repairs its repository,
    # under a version number that this device knows with another content: then the round names a
    # model that the trusted metadata do not.
    assert code in ("MODEL_OLDER", "MODEL_NOT_THE_ROUNDS")
    assert installation.model_in_use() == newer
    rolled_back = json.loads(
        installation.server("model", "rollback", "--to", "1", "--end-round", "--json")
    )
    assert (rolled_back["version"], rolled_back["origin"]) == (newer + 2, "version 1")


def contents(folder):
    """Every file in a folder that a running server may write to."""
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # a journal that has just been closed
            if path.is_file():
                yield path, path.read_bytes()


def signed_as_of(folder, days):
    """Return the current timestamp, signed by the online key with another expiry."""
    signer = tuf_repository.load_key(folder / "keys" / "online.pem")
    timestamp = Metadata[Timestamp].from_file(str(folder / "metadata" / "timestamp.json"))
    timestamp.signed.expires = (
        datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
    ).replace(microsecond=0)
    timestamp.signed.version += 1
    timestamp.signatures.clear()
    timestamp.sign(signer)
    return timestamp.to_bytes()


JOIN = """
set -e
aegis() { "$0" -m agent "$@"; }
aegis consent grant --accept "$NOTICE"
aegis run --once --json
aegis doctor --json
"$0" -c "$SECRETS" "$AEGIS_HOME"
"""
SECRETS = """
import json, sys
from pathlib import Path
from agent.identity.identity import FILE_NAME
from agent.identity.os_keyring import OsKeyStore
from agent.identity.sealed_identity import SealedIdentity

sealed = SealedIdentity(Path(sys.argv[1]) / FILE_NAME, OsKeyStore())
contents, item = sealed.read(), OsKeyStore().get(sealed.installation_id())
print(
    json.dumps({"pem": contents.key_pem, "erase": contents.erase_secret, "item": item.decode()})
)
"""


@pytest.mark.skipif(
    bool(secret_service.missing()), reason=f"not installed: {secret_service.missing()}"
)
def test_p12_enrolling_with_a_real_keyring_leaves_no_secret_in_any_file(
    installation, tmp_path, monkeypatch
):
    invitation = json.loads(
        installation.server("token", "create", "--server", installation.url, "--json")
    )
    monkeypatch.setitem(installation.environ, "AEGIS_HOME", str(installation.folder / "keyring"))
    installation.aegis("enroll", invitation["invitation"])
    until(installation.round, what="an open round")
    extra = {
        "AEGIS_HOME": installation.environ["AEGIS_HOME"],
        "NOTICE": installation.aegis("consent", "show")["notice_id"],
        "SECRETS": SECRETS,
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    done = secret_service.run(["sh", "-c", JOIN, sys.executable], tmp_path / "login", extra=extra)
    assert done.returncode == 0, done.stderr
    passed, doctor, secrets = (json.loads(line) for line in done.stdout.splitlines()[-3:])
    assert passed["outcome"] == "nothing_to_learn"
    checks = {check["name"]: check for check in doctor["checks"]}
    assert checks["keyring"]["value"].startswith("os: keyring.backends.SecretService")
    assert checks["certificate"]["value"].startswith("valid from 20")
    assert checks["trust roots"]["value"] == "1"
    assert "model" in checks
    assert [check for check in doctor["checks"] if check["ok"] is False] == []
    lines = [line for line in secrets["pem"].splitlines()[1:-1] if len(line) > 20]
    secret_texts = [secrets["erase"], json.loads(secrets["item"])["key"], *lines]
    server = installation.folder / "server"
    lines = [
        (server / name).read_text().splitlines()[1]
        for name in ("ca/ca.key", "keys/signing.key", "repository/keys/online.pem")
    ]
    files = {
        path: content
        for folder in ("device", "login", "server")
        for path, content in contents(installation.folder / folder)
    }
    assert [
        path
        for path, content in files.items()
        if any(secret.encode() in content for secret in secret_texts)
    ] == []
    key_files = {"ca.key", "signing.key", "online.pem"}
    assert {
        path.name
        for path, content in files.items()
        if any(line.encode() in content for line in lines)
    } == key_files
    with sqlite3.connect(server / "ca" / "ca.sqlite3") as database:
        (token_hash,) = database.execute("SELECT token_hash FROM tokens WHERE used = 1").fetchone()
    database.close()
    assert token_hash not in invitation["token"]
    assert not [path for path, content in files.items() if invitation["token"].encode() in content]
