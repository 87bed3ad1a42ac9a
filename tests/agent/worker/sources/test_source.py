"""Files of sources are read up to a bound."""

import pytest

from agent.worker.files import RefusedFileError
from agent.worker.sources.source import read_end, read_text


def test_the_end_of_a_log_is_read(tmp_path):
    (tmp_path / "log").write_bytes(b"first\nlast\n")
    assert read_end(str(tmp_path / "log"), 5) == b"last\n"
    assert read_end(str(tmp_path / "log"), 500) == b"first\nlast\n"


def test_a_list_is_read_whole_or_not_at_all(tmp_path):
    (tmp_path / "list").write_bytes(b"a\xff")
    assert read_text(str(tmp_path / "list"), 2) == "a\udcff"
    with pytest.raises(RefusedFileError, match="TOO_LARGE"):
        read_text(str(tmp_path / "list"), 1)
