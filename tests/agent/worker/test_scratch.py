"""What one job leaves for the next can be read with the key of the job, under its label, and by
nobody else.
"""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import AegisError
from agent.worker import scratch

KEY, OTHER = bytes(range(32)), bytes(32)


def refusal(path, key=KEY, label="update"):
    with pytest.raises(AegisError) as raised:
        scratch.read(str(path), key, label)
    return raised.value.code


@pytest.fixture
def path(tmp_path):
    scratch.write(str(tmp_path / "file"), KEY, "update", b"content")
    return tmp_path / "file"


@given(st.binary(max_size=300), st.text(max_size=10, alphabet="abc/1"))
def test_there_and_back(tmp_path_factory, content, label):
    path = str(tmp_path_factory.mktemp("scratch") / "file")
    scratch.write(path, KEY, label, content)
    assert scratch.read(path, KEY, label) == content


def test_p12_the_content_does_not_show_and_never_twice_alike(path):
    first = path.read_bytes()
    scratch.write(str(path), KEY, "update", b"content")
    assert b"content" not in first
    assert path.read_bytes() != first
    assert path.stat().st_mode & 0o777 == 0o600


def test_p12_another_key_or_another_label_does_not_open_it(path):
    assert refusal(path, key=OTHER) == "SCRATCH_UNREADABLE"
    assert refusal(path, label="checkpoint") == "SCRATCH_UNREADABLE"


def test_p11_a_flipped_bit_anywhere_is_refused(path):
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(bytes([*whole[:at], whole[at] ^ 1, *whole[at + 1 :]]))
        assert refusal(path) == "SCRATCH_UNREADABLE"


@pytest.mark.parametrize("length", [0, 5, 12, 27])
def test_p11_a_cut_file_is_refused(path, length):
    os.truncate(path, length)
    assert refusal(path) == "SCRATCH_UNREADABLE"


def test_p11_a_missing_or_a_huge_file_is_refused(path, monkeypatch):
    monkeypatch.setattr(scratch, "MAX_SCRATCH_BYTES", 10)
    assert refusal(path) == "SCRATCH_UNREADABLE"
    scratch.remove(str(path))
    scratch.remove(str(path))
    assert refusal(path) == "SCRATCH_UNREADABLE"
