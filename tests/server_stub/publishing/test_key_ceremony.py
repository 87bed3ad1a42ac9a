"""The yearly ceremony: what needs a signature soon, and which keys may give it."""

import shutil

import pytest

from agent.errors import OperatorActionError
from server_stub.config.home import ServerHome
from server_stub.publishing import key_ceremony, tuf_repository
from server_stub.publishing.key_ceremony import RENEW_SOON_S
from tests.fakes.live_server import make_home

NOW = 1_800_000_000
YEAR_S = 365 * 86_400
OFFLINE = ["root-1.pem", "root-2.pem", "root-3.pem", "targets-1.pem", "targets-2.pem"]


@pytest.fixture
def home(tmp_path):
    return make_home(tmp_path / "server", NOW)[0]


@pytest.fixture
def safe(home, tmp_path):
    """The offline keys, moved away from the server."""
    return shutil.move(home.repository / "keys" / "offline", tmp_path / "safe")


def renew(home, offline, now=NOW, *, replace_online_key=False):
    return key_ceremony.renew(home, now, offline=offline, replace_online_key=replace_online_key)


def refusal(home, offline):
    with pytest.raises(OperatorActionError) as refused:
        renew(home, offline, replace_online_key=True)
    assert refused.value.code == "OFFLINE_KEYS"
    return refused.value.message


def test_keys_that_are_still_on_the_server_are_listed(home, tmp_path):
    assert key_ceremony.show(home, NOW)["offline_keys_here"] == OFFLINE
    shutil.move(home.repository / "keys" / "offline", tmp_path / "safe")
    assert key_ceremony.show(home, NOW)["offline_keys_here"] == []


def test_a_yearly_signature_is_due_thirty_days_before_its_end(home):
    shown = key_ceremony.show(home, NOW)
    end = shown["ends"]["root"]
    assert end == NOW + YEAR_S
    assert shown["renew_soon"] == []
    assert key_ceremony.show(home, end - RENEW_SOON_S)["renew_soon"] == []
    assert key_ceremony.show(home, end - RENEW_SOON_S + 1)["renew_soon"] == ["root", "targets"]


def test_a_renewal_is_good_for_another_year(home, safe):
    later = NOW + 340 * 86_400
    shown = renew(home, safe, later)
    assert (shown["ends"]["root"], shown["ends"]["targets"]) == (later + YEAR_S, later + YEAR_S)
    assert (shown["renew_soon"], shown["offline_keys_here"]) == ([], [])


def test_without_enough_valid_keys_nothing_changes(home, safe, tmp_path):
    before = {path.name: path.read_bytes() for path in (home.repository / "metadata").iterdir()}
    assert "0 of the 2 root keys" in refusal(home, None)
    some = tmp_path / "some"
    some.mkdir()
    for name in ("root-1.pem", "targets-1.pem", "targets-2.pem"):
        shutil.copy(safe / name, some)
    shutil.copy(home.repository / "keys" / "online.pem", some / "root-2.pem")
    assert "1 of the 2 root keys" in refusal(home, some)
    (some / "root-3.pem").write_text("half of a key")
    assert "The offline keys cannot sign" in refusal(home, some)
    after = {path.name: path.read_bytes() for path in (home.repository / "metadata").iterdir()}
    assert after == before


def test_two_of_three_root_keys_replace_the_online_key(home, safe):
    (safe / "root-2.pem").unlink()
    before = tuf_repository.load_key(home.repository / "keys" / "online.pem")
    renew(home, safe, replace_online_key=True)
    after = tuf_repository.load_key(home.repository / "keys" / "online.pem")
    assert after.public_key.keyid != before.public_key.keyid


def test_a_folder_without_a_server_has_no_keys(tmp_path):
    with pytest.raises(OperatorActionError) as refused:
        key_ceremony.show(ServerHome(tmp_path / "none"), NOW)
    assert refused.value.code == "NO_SERVER"
