"""An update as readable text."""

import pytest

from tests.fakes import agent_client as fakes
from ui.presentation.update_text import (
    HEX_BYTES,
    first_bytes,
    grouped_digest,
    header_text,
    hex_lines,
    preview_text,
)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "update.bin"
    path.write_bytes(bytes(range(256)) * 2)
    return path


def test_sixteen_bytes_a_line_with_their_offset():
    assert hex_lines(bytes(range(18))) == [
        "000000  00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f",
        "000010  10 11",
    ]
    assert hex_lines(b"") == []


def test_what_lies_beyond_the_limit_is_an_ellipsis():
    assert hex_lines(bytes(32), limit=32)[-1].startswith("000010")
    assert hex_lines(bytes(33), limit=32)[-1] == "…"


def test_of_a_file_the_beginning_is_read_and_whether_there_is_more(path):
    assert first_bytes(path) == path.read_bytes()[: HEX_BYTES + 1]
    assert hex_lines(first_bytes(path))[-1] == "…"


@pytest.mark.parametrize("path", ["/no/such/file", None, ""])
def test_a_file_that_is_gone_is_empty(path):
    assert first_bytes(path) == b""


def test_a_preview_shows_features_header_and_bytes(path):
    text = preview_text(fakes.preview_answer(path))
    assert text.startswith("# example\n")
    assert "machine                  512" in text
    assert "# 936 bytes" in text
    assert header_text({"kind": "local-update", "d": 116, "bits": 32}) in text
    assert "000000  00 01 02" in text


def test_an_incomplete_preview_is_no_error():
    assert preview_text({}).startswith("# \n")


def test_a_digest_is_shown_in_groups_of_eight():
    assert grouped_digest("0123456789abcdef" * 4).split(" ") == ["01234567", "89abcdef"] * 4
