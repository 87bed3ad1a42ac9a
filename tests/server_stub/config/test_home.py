import errno
import fcntl
import json
import threading

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agent.errors import OperatorActionError
from server_stub.config.home import MAX_SETTINGS_BYTES, READY_FILE, SETTINGS_FILE, ServerHome
from server_stub.config.settings import ServerSettings, default_task, override
from tests.fakes.live_server import OPERATOR
from tests.fakes.timeouts import TIMEOUT_S

SETTINGS = ServerSettings(OPERATOR, default_task())


@pytest.fixture
def home(tmp_path):
    created = ServerHome(tmp_path / "server")
    created.create_folders()
    created.create_keys()
    created.write_settings(SETTINGS)
    return created


def refusal(call, *arguments):
    with pytest.raises(OperatorActionError) as refused:
        call(*arguments)
    return refused.value.code


def test_folders_and_keys_are_the_operators_alone(home):
    keys = home.tls_file.parent
    assert [path.stat().st_mode & 0o777 for path in (home.folder, keys)] == [0o700, 0o700]
    assert {path.stat().st_mode & 0o777 for path in keys.iterdir()} == {0o600}


def test_a_server_is_not_overwritten(home):
    assert refusal(home.create_folders) == "HOME_EXISTS"
    (home.folder / SETTINGS_FILE).unlink()
    assert refusal(home.create_folders) == "HOME_EXISTS"


def test_each_server_has_its_own_keys_and_reads_them_again(home, tmp_path):
    other = ServerHome(tmp_path / "other")
    other.create_folders()
    other.create_keys()
    keys = [one.signing_key().public_key().public_bytes_raw() for one in (home, other)]
    assert len({*keys, home.secret(), other.secret()}) == 4
    assert len(home.secret()) == 32
    again = ServerHome(home.folder)
    assert again.signing_key().public_key().public_bytes_raw() == keys[0]
    assert again.secret() == home.secret()
    home.write_root_sha256("ab" * 32)
    assert again.root_sha256() == "ab" * 32


def test_settings_are_read_as_they_were_written(home):
    assert home.settings() == SETTINGS
    changed = override(SETTINGS, port=0, url="https://müller.example")
    home.write_settings(changed)
    assert home.settings() == changed


def test_a_folder_without_settings_is_no_server(tmp_path):
    assert refusal(ServerHome(tmp_path / "none").settings) == "NO_SERVER"


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"7", b"\0", b"\xff", b"{" * 5000, b" " * (MAX_SETTINGS_BYTES + 1)],
    ids=["empty", "cut", "list", "number", "zero", "bytes", "deep", "large"],
)
def test_settings_that_cannot_be_read_are_refused_in_one_sentence(home, content):
    (home.folder / SETTINGS_FILE).write_bytes(content)
    assert refusal(home.settings) == "BAD_SETTING"


@pytest.mark.parametrize(
    "limits", [{"connections": 0}, {"unknown": 1}, {"rates": []}, [], {"body_s": float("nan")}]
)
def test_a_limit_out_of_range_is_refused(home, limits):
    document = json.loads((home.folder / SETTINGS_FILE).read_text())
    (home.folder / SETTINGS_FILE).write_text(json.dumps({**document, "limits": limits}))
    assert refusal(home.settings) == "BAD_SETTING"


def test_a_signing_key_that_is_missing_damaged_or_of_another_kind_is_refused(home):
    (file,) = home.tls_file.parent.glob("signing.key")
    other = ec.generate_private_key(ec.SECP256R1())
    file.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert refusal(home.signing_key) == "SIGNING_KEY"
    file.write_bytes(b"not a key")
    assert refusal(home.signing_key) == "SIGNING_KEY"
    file.unlink()
    assert refusal(home.signing_key) == "SIGNING_KEY"


def test_the_repository_has_one_writer_at_a_time(home):
    entered, order = threading.Event(), []

    def write_second():
        entered.set()
        with ServerHome(home.folder).repository_lock():
            order.append("second")

    with home.repository_lock():
        thread = threading.Thread(target=write_second)
        thread.start()
        assert entered.wait(TIMEOUT_S)
        order.append("first")
    thread.join(TIMEOUT_S)
    assert order == ["first", "second"]


def test_devices_reach_the_configured_address_first(home, tmp_path):
    assert home.url(SETTINGS) == "https://127.0.0.1:8443"
    assert refusal(home.url, override(SETTINGS, port=0)) == "NO_URL"
    copy = tmp_path / "copy.json"
    home.write_ready(copy, {"url": "https://127.0.0.1:4711"})
    assert json.loads(copy.read_text()) == {"url": "https://127.0.0.1:4711"}
    assert home.url(SETTINGS) == "https://127.0.0.1:4711"
    assert home.url(override(SETTINGS, url="https://example.org")) == "https://example.org"


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[]"])
def test_a_damaged_ready_file_is_as_good_as_none(home, content):
    (home.folder / READY_FILE).write_bytes(content)
    assert home.url(SETTINGS) == "https://127.0.0.1:8443"


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOLCK, OperatorActionError), (errno.EIO, OSError)]
)
def test_a_folder_without_file_locks_is_named(home, monkeypatch, number, kind):
    def refuse(*_):
        raise OSError(number, "no")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(kind) as raised, home.repository_lock():
        pass
    assert getattr(raised.value, "code", "") == ("NO_FILE_LOCKS" if number == errno.ENOLCK else "")
