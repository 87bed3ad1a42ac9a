"""A source has a switch only where it exists, and folders are the person's."""

import pytest

from agent.config.sample_sources import SampleSources, SystemPlaces, system_places
from agent.errors import AegisError
from agent.protocol.sources import MAX_FOLDERS, Source
from tests.fakes.device import Device

NOWHERE = SystemPlaces()


@pytest.fixture
def device(tmp_path):
    device = Device(tmp_path)
    yield device
    device.close()


@pytest.fixture
def made(device):
    """Makes the choice of a device whose system has these places and commands."""

    def make(places=NOWHERE, commands=()):
        agent = device.agent
        return SampleSources(
            agent.record,
            agent.effective,
            agent.values,
            places,
            lambda name: name if name in commands else None,
        )

    return make


def test_a_system_has_its_own_places():
    assert system_places("linux", {}).package_lists == "/var/lib/dpkg/info"
    windows = system_places("win32", {"PROGRAMDATA": "D:\\Data"})
    assert windows.detection_history.startswith("D:\\Data\\Microsoft\\Windows Defender\\")
    assert system_places("darwin", {}) == NOWHERE


def test_c1_what_does_not_exist_here_has_no_switch(made, tmp_path):
    assert made().available() == ()
    (tmp_path / "info").mkdir()
    (tmp_path / "history").mkdir()
    places = SystemPlaces(str(tmp_path / "info"), (), str(tmp_path / "history"))
    assert made(places).available() == (Source.PACKAGES, Source.DEFENDER)
    commands = ("python3", "clamscan")
    assert made(commands=commands).available() == (Source.WHEELS, Source.CLAMAV)


def test_signatures_need_authorities_in_the_task(made, device):
    assert Source.SIGNED not in made().available()
    device.agent.effective.keep_task({"signing_authorities": f"{'11' * 32} {'22' * 32}"})
    assert made().authorities() == ("11" * 32, "22" * 32)
    assert Source.SIGNED in made().available()


def test_a_log_that_a_person_names_makes_the_scanner_exist(made, tmp_path):
    log = tmp_path / "scan.log"
    with pytest.raises(AegisError) as raised:
        made().use_log(str(log))
    assert raised.value.code == "CANNOT_READ"
    log.touch()
    made().use_log(str(log))
    made().use_log(str(log))
    assert made().available() == (Source.CLAMAV,)
    assert made().logs() == (str(log),)
    assert made().give_up(str(log))
    assert made().logs() == made().available() == ()


def test_folders_are_chosen_and_given_up(made, tmp_path):
    made().add_folder(str(tmp_path))
    made().add_folder(str(tmp_path / "x" / ".."))
    assert made().folders() == (str(tmp_path),)
    assert made().give_up(str(tmp_path))
    assert not made().give_up(str(tmp_path))
    assert made().folders() == ()


@pytest.mark.parametrize("name", ["/", "missing", "file"])
def test_p11_what_is_no_folder_of_its_own_is_refused(made, tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(AegisError) as raised:
        made().add_folder(str(tmp_path / name))
    assert raised.value.code == "NOT_A_FOLDER"


def test_p11_the_number_of_folders_is_bounded(made, tmp_path):
    for number in range(MAX_FOLDERS + 1):
        (tmp_path / str(number)).mkdir()
    for number in range(MAX_FOLDERS):
        made().add_folder(str(tmp_path / str(number)))
    with pytest.raises(AegisError) as raised:
        made().add_folder(str(tmp_path / str(MAX_FOLDERS)))
    assert raised.value.code == "TOO_MANY_FOLDERS"


def test_nothing_is_asked_of_the_worker_for_sources_that_are_off(made):
    assert made().switched_on() == ()
    assert made().request(("/a",)) == {"folders": ["/a"], "sources": {}}
