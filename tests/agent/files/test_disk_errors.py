"""A failed read or write is explained by the system's error number."""

import errno

import pytest

from agent.files.disk_errors import explained, is_full, write_error


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "DISK_FULL"),
        (errno.EDQUOT, "DISK_FULL"),
        (errno.EROFS, "HOME_READ_ONLY"),
        (errno.EACCES, "HOME_READ_ONLY"),
        (errno.EMFILE, "TOO_MANY_OPEN"),
        (errno.EIO, "DISK_FAULT"),
        (None, "DISK_FAULT"),
    ],
)
def test_each_cause_has_a_code_of_its_own(number, code):
    error = OSError(number, "why") if number else OSError("why")
    assert explained(error).code == code
    assert is_full(error) is (code == "DISK_FULL")


def test_a_small_write_finds_the_cause_and_leaves_nothing(tmp_path):
    assert write_error(tmp_path) is None
    assert list(tmp_path.iterdir()) == []
    assert write_error(tmp_path / "none").errno == errno.ENOENT
