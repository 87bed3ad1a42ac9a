"""Creating a server's folder: private, complete, and once."""

import json
from dataclasses import replace

import pytest
from cryptography import x509

from agent.errors import OperatorActionError
from server_stub.cli.init import create_home
from server_stub.config.home import SETTINGS_FILE, ServerHome
from server_stub.config.settings import ServerSettings, default_task
from server_stub.publishing import tuf_repository
from tests.fakes.live_server import OPERATOR

NOW = 1_800_000_000
SETTINGS = ServerSettings(OPERATOR, default_task())


def created(tmp_path, **changes):
    home = ServerHome(tmp_path / "server")
    create_home(home, replace(SETTINGS, **changes), NOW)
    return home


def refusal(tmp_path, **changes):
    with pytest.raises(OperatorActionError) as refused:
        created(tmp_path, **changes)
    return refused.value.code


def common_name(home):
    (attribute,) = x509.load_pem_x509_certificate(home.ca_pem.encode()).subject
    return attribute.value


def test_a_new_server_has_everything_but_a_model(tmp_path):
    home = created(tmp_path)
    assert home.settings() == SETTINGS
    assert len(home.root_sha256()) == 64
    assert len(home.secret()) == 32
    assert home.signing_key()
    assert b"BEGIN CERTIFICATE" in home.tls_file.read_bytes()
    assert tuf_repository.published_version(home.repository) == 0


def test_keys_are_readable_by_their_owner_only(tmp_path):
    home = created(tmp_path)
    keys = [path for path in home.folder.rglob("*") if path.suffix in (".key", ".pem")]
    assert len(keys) == 10
    private = [path for path in keys if path != home.ca_file] + [home.folder / "keys" / "secret"]
    assert {path.stat().st_mode & 0o777 for path in private} == {0o600}
    for folder in (home.folder, home.authority, home.folder / "keys"):
        assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("operator", "name"),
    [
        ("Example", "Example enrolment authority"),
        ("x" * 43 + "ü" * 20, "x" * 43 + " enrolment authority"),
        (
            "Universitätsklinikum für Innere Medizin und Gesundheitsforschung",
            "Universitätsklinikum für Innere Medizin un enrolment authority",
        ),
        ("", " enrolment authority"),
    ],
    ids=["short", "cut in a letter", "long", "empty"],
)
def test_the_authoritys_name_fits_a_certificate(tmp_path, operator, name):
    home = created(tmp_path, operator=replace(OPERATOR, name=operator))
    assert common_name(home) == name
    assert len(name.encode()) <= 64


@pytest.mark.parametrize(
    "changes",
    [
        {"hosts": ("a..example",)},
        {"hosts": ("",)},
        {"hosts": ("a b",)},
        {"hosts": ("ü" * 64,)},
        {"operator": replace(OPERATOR, name="\udcff")},
        {"port": 70_000},
    ],
    ids=["dots", "empty", "space", "long", "bytes", "port"],
)
def test_settings_out_of_range_leave_no_folder(tmp_path, changes):
    assert refusal(tmp_path, **changes) == "BAD_SETTING"
    assert not (tmp_path / "server").exists()


def test_a_server_is_created_once(tmp_path):
    home = created(tmp_path)
    before = {path: path.read_bytes() for path in home.folder.rglob("*") if path.is_file()}
    assert refusal(tmp_path) == "HOME_EXISTS"
    after = {path: path.read_bytes() for path in home.folder.rglob("*") if path.is_file()}
    assert after == before


def test_an_interrupted_run_leaves_no_server_and_is_not_continued(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(tuf_repository, "create", lambda *_: json.loads("cut"))
        with pytest.raises(ValueError, match="Expecting value"):
            created(tmp_path)
    home = ServerHome(tmp_path / "server")
    assert not (home.folder / SETTINGS_FILE).exists()
    with pytest.raises(OperatorActionError) as refused:
        home.settings()
    assert refused.value.code == "NO_SERVER"
    assert refusal(tmp_path) == "HOME_EXISTS"
