"""The job `collect` reports what sources know, and names nothing."""

import hashlib
import json

import pytest

from agent.protocol.jobs import Collected, Contradicted, Opening, Progress, Searched, Unread
from agent.protocol.pipe import Frame
from agent.protocol.sources import Source
from agent.worker.collect import CollectRequest, collect, read_request
from agent.worker.run import never, run
from agent.worker.sources.packages import INFO
from agent.worker.sources.program import keyed
from agent.worker.sources.source import Places
from tests.fakes.executables import executable

KEY = b"k" * 32


@pytest.fixture
def folder(tmp_path):
    """A folder with a packaged program, a reported one, one that is both, and other files."""
    (tmp_path / INFO).mkdir(parents=True)
    lines = []
    for number, name in enumerate(("packaged", "reported", "both", "unknown")):
        content = executable() + bytes([number])
        (tmp_path / f"{name}.exe").write_bytes(content)
        if name in ("packaged", "both"):
            lines.append(f"{hashlib.md5(content).hexdigest()}  {name}.exe\n")
    (tmp_path / INFO / "p.md5sums").write_text("".join(lines))
    (tmp_path / "notes.txt").write_text("no program")
    (tmp_path / "scan.log").write_text(
        "".join(f"{tmp_path}/{name}.exe: Win.X-1 FOUND\n" for name in ("reported", "both"))
    )
    return tmp_path


def ask(folder, *sources):
    places = {
        Source.PACKAGES: Places([str(folder / INFO)]),
        Source.CLAMAV: Places([str(folder / "scan.log")]),
    }
    return CollectRequest([str(folder)], {source: places[source] for source in sources})


def events(request, skipped=(), after_step=never):
    return [
        event
        for event in collect(request, KEY, skipped, after_step)
        if not isinstance(event, Progress)
    ]


def file_digest(folder, name):
    content = (folder / f"{name}.exe").read_bytes()
    return keyed(KEY, hashlib.sha256(content).hexdigest())


def test_each_source_gives_its_own_rows(folder):
    rows = [one for one in events(ask(folder, Source.PACKAGES)) if isinstance(one, Collected)]
    assert {(one.source, one.digest) for one in rows} == {
        (Source.PACKAGES, file_digest(folder, "packaged")),
        (Source.PACKAGES, file_digest(folder, "both")),
    }
    assert len({one.features for one in rows}) == 1


def test_a_program_that_sources_contradict_each_other_about_gives_no_row(folder):
    found = events(ask(folder, Source.PACKAGES, Source.CLAMAV))
    assert {(one.source, one.digest) for one in found if isinstance(one, Collected)} == {
        (Source.PACKAGES, file_digest(folder, "packaged")),
        (Source.CLAMAV, file_digest(folder, "reported")),
    }
    assert [one.digest for one in found if isinstance(one, Contradicted)] == [
        file_digest(folder, "both")
    ]
    # Four programs, a list, a log and a text.
    assert found[-1] == Searched(files=7, programs=4)


def test_no_event_names_a_file(folder):
    text = repr(events(ask(folder, Source.PACKAGES, Source.CLAMAV)))
    assert not [name for name in ("packaged", "reported", "exe", str(folder)) if name in text]
    assert hashlib.sha256((folder / "packaged.exe").read_bytes()).hexdigest() not in text


def test_a_program_that_ended_the_worker_is_left_out_by_its_keyed_path(folder):
    path = keyed(KEY, str(folder / "packaged.exe"))
    found = events(ask(folder, Source.PACKAGES), skipped=[path])
    assert Opening(path) not in found
    assert found[-1].programs == 3


def test_a_source_that_could_not_read_all_says_so(folder):
    (folder / "scan.log").unlink()
    found = events(ask(folder, Source.CLAMAV))
    assert Unread(Source.CLAMAV, "NOT_FOUND") in found


def test_a_worker_that_is_asked_to_stop_does_not_say_that_it_has_looked(folder):
    found = events(ask(folder, Source.PACKAGES), after_step=lambda: True)
    assert not [one for one in found if isinstance(one, Searched)]


def test_p11_a_request_that_makes_no_sense_is_one_error():
    for asked in ({}, [], {"folders": 3, "sources": {}}, {"folders": [], "sources": {"x": {}}}):
        frame = Frame({"job": "collect", "skipped": {}}, (json.dumps(asked).encode(), KEY))
        (error,) = run(frame)
        assert error.code == "BAD_JOB"


def test_a_request_is_read():
    asked = {"folders": ["/a"], "sources": {"signed": {"paths": [], "authorities": ["ab"]}}}
    assert read_request(asked) == CollectRequest(["/a"], {Source.SIGNED: Places([], ["ab"])})
