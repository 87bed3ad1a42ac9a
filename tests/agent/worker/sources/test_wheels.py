"""A file is a Python package's when the package's RECORD has its checksum."""

import base64
import hashlib

import pytest

from agent.worker.sources.program import Program
from agent.worker.sources.source import Places
from agent.worker.sources.wheels import Wheels

CONTENT = b"MZ wheel"


def entry(name, content=CONTENT):
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(content)}\n"


@pytest.fixture
def site(tmp_path):
    site = tmp_path / "site-packages"
    (site / "tool/bin").mkdir(parents=True)
    (site / "tool/bin/t.exe").write_bytes(CONTENT)
    (site / "tool-1.0.dist-info").mkdir()
    record(site, entry("tool/bin/t.exe") + "tool-1.0.dist-info/RECORD,,\n")
    return site


def record(site, text):
    (site / "tool-1.0.dist-info/RECORD").write_text(text)


def known(site, name="tool/bin/t.exe"):
    path = str(site / name)
    return Wheels(Places([]), [path]).knows(Program(path))


def test_a_file_that_matches_is_known_and_one_altered_byte_is_not(site):
    assert known(site)
    (site / "tool/bin/t.exe").write_bytes(b"MZ Wheel")
    assert not known(site)


def test_a_file_outside_every_list_is_not_known(site):
    (site / "tool/bin/u.exe").write_bytes(CONTENT)
    assert not known(site, "tool/bin/u.exe")


def test_a_path_that_leaves_its_folder_names_the_file_there(site):
    (site.parent / "Scripts").mkdir()
    record(site, entry("../Scripts/../site-packages/tool/bin/t.exe"))
    assert known(site)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\0",
        '"unfinished',
        "tool/bin/t.exe,sha256=AAAA,8\n",
        "tool/bin/t.exe,sha256=!!!,8\n",
        "tool/bin/t.exe,md5=abc,8\n",
        "tool/bin/t.exe\n",
    ],
)
def test_p11_a_record_in_another_form_says_nothing(site, text):
    record(site, text)
    assert not known(site)


def test_p11_a_huge_record_is_a_problem_and_is_not_read(site):
    with (site / "tool-1.0.dist-info/RECORD").open("wb") as file:
        file.truncate(1 << 30)
    source = Wheels(Places([]), [str(site / "tool/bin/t.exe")])
    assert source.problem == "TOO_LARGE"
