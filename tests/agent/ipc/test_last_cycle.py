"""Why the last cycle failed or waited is read back as it was written, or not at all."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.ipc.last_cycle import MAX_BYTES, MAX_REASONS, MAX_TEXT_CHARS, LastCycle, LastCycleFile
from agent.reasons import Reason, ReasonCode

REASON = Reason(ReasonCode.HOLD, "It waits.", "10 min", "clock", "hold.minutes", 700, at=100)


def test_it_is_read_back(tmp_path):
    file = LastCycleFile(tmp_path / "last-cycle.json")
    assert file.read() is None
    file.write(LastCycle(100, (REASON,)))
    assert file.read() == LastCycle(100, (REASON,))
    file.clear()
    file.clear()
    assert file.read() is None


def test_it_is_bounded(tmp_path):
    file = LastCycleFile(tmp_path / "last-cycle.json")
    long = Reason(ReasonCode.CYCLE_FAILED, "ε" * 9999, reading="R" * 9999, at=5)
    file.write(LastCycle(5, (long,) * 50))
    assert (tmp_path / "last-cycle.json").stat().st_size < MAX_BYTES
    kept = file.read()
    assert len(kept.reasons) == MAX_REASONS
    assert len(kept.reasons[0].text) == MAX_TEXT_CHARS


@pytest.mark.parametrize(
    "content",
    [
        "", "[]", "{", "{}", "null", '{"at": 1}', '{"at": "x", "reasons": []}' * 2,
        '{"at": true, "reasons": [{"code": "HOLD"}]}',
        json.dumps({"at": 1, "reasons": [{"code": "NO_SUCH", "text": "", "reading": "",
                    "source": "", "setting": "", "until": None}]}),
        json.dumps({"at": 1, "reasons": [{"code": "HOLD", "text": 7, "reading": "",
                    "source": "", "setting": "", "until": None}]}),
        "[" * 100_000,
    ],
)  # fmt: skip
def test_p11_a_damaged_file_says_nothing(tmp_path, content):
    (tmp_path / "last-cycle.json").write_text(content)
    assert LastCycleFile(tmp_path / "last-cycle.json").read() is None


@given(st.binary(max_size=200))
def test_p11_no_content_raises(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("home") / "last-cycle.json"
    path.write_bytes(content)
    assert LastCycleFile(path).read() is None or content.startswith(b"{")
