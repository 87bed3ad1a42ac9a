"""Whatever lies in a folder, a scan and an extraction say one line about it, do not hang, and go on
with the rest (P11).
"""

import json
import os
import random
import struct
from pathlib import Path

import pytest
import setuptools

from agent.errors import PeerError
from agent.models.bundled import bundled_model
from agent.protocol.jobs import (
    ExtractedRow,
    Job,
    Opening,
    Progress,
    RefusedInput,
    Scanned,
    ScannedFiles,
    VerdictBounds,
)
from agent.protocol.pipe import Frame
from agent.worker.features import read_features
from agent.worker.files import RefusedFileError, files_below
from agent.worker.run import run

LAUNCHER = Path(setuptools.__file__).parent / "cli-64.exe"
GIB = 2**30


def sparse(path, content, size):
    with path.open("wb") as file:
        file.write(content)
        file.truncate(size)


def far_header():
    return b"MZ" + bytes(58) + struct.pack("<I", 3 * GIB) + bytes(8)


MAKERS = {
    "text": (lambda path: path.write_text("hello"), "NOT_PE"),
    "empty": (lambda path: path.touch(), "NOT_PE"),
    "sparse": (lambda path: sparse(path, b"", 4 * GIB), "NOT_PE"),
    "far-header": (lambda path: sparse(path, far_header(), 4 * GIB), "NOT_PE"),
    "only-mz": (lambda path: path.write_bytes(b"MZ"), "TRUNCATED_PE"),
    "cut-in-the-headers": (
        lambda path: path.write_bytes(LAUNCHER.read_bytes()[:300]),
        "TRUNCATED_PE",
    ),
    "cut-in-a-section": (
        lambda path: path.write_bytes(LAUNCHER.read_bytes()[:6000]),
        "TRUNCATED_PE",
    ),
    "fifo": (lambda path: os.mkfifo(path), "NOT_A_FILE"),
    "link-to-a-device": (lambda path: path.symlink_to("/dev/zero"), "NOT_A_FILE"),
    "link-to-itself": (lambda path: path.symlink_to(path.name), "UNREADABLE"),
    "link-to-nothing": (lambda path: path.symlink_to("nothing"), "NOT_FOUND"),
    "failing-while-read": (lambda path: path.symlink_to("/proc/self/mem"), "UNREADABLE"),
}

BELOW_A_FOLDER = {name: code for name, (_, code) in MAKERS.items()} | {
    "link-to-a-device": "LINK_LEADS_OUT",
    "failing-while-read": "LINK_LEADS_OUT",
}
"""A link that is named itself is followed, wherever it leads."""


@pytest.fixture
def folder(tmp_path):
    for name, (make, _) in MAKERS.items():
        make(tmp_path / f"{name}.exe")
    (tmp_path / "b.exe").write_bytes(LAUNCHER.read_bytes())
    (tmp_path / "z.exe").write_bytes(LAUNCHER.read_bytes())
    return tmp_path


def job(kind, paths, *parts):
    names = json.dumps([str(path) for path in paths]).encode()
    header = {"job": kind, "skipped": {}, "family": "logistic/1", "base_weight_milli": 0}
    request = Frame(header, (names, *parts, *(b"" for _ in parts)))
    events = []
    for event in run(request):
        if isinstance(event, ScannedFiles):
            events += event.files
        elif not isinstance(event, Opening | Progress | VerdictBounds):
            events.append(event)
    return events


def test_p11_a_folder_of_bad_files_is_scanned_to_its_end(folder):
    found = {
        Path(event.path).stem: event
        for event in job(Job.SCAN, [folder], bundled_model().files.head)
    }
    assert all(isinstance(event, Scanned) for event in found.values())
    assert found.keys() == {*MAKERS, "b", "z"}
    assert {name: found[name].code for name in MAKERS} == BELOW_A_FOLDER
    assert all(
        found[name].probability is None and found[name].message.endswith(".") for name in MAKERS
    )
    assert 0 <= found["b"].probability == found["z"].probability <= 1


def test_p11_bad_files_that_are_named_one_by_one_are_scanned_to_their_end(folder):
    paths = [folder / f"{name}.exe" for name in MAKERS]
    found = job(Job.SCAN, paths, bundled_model().files.head)
    assert [event.code for event in found] == [code for _, code in MAKERS.values()]


def test_p11_a_folder_of_bad_files_is_learnt_from_to_its_end(folder):
    events = [
        event
        for event in job(Job.EXTRACT, [folder])
        if isinstance(event, ExtractedRow | RefusedInput)
    ]
    assert {
        Path(event.path).stem: event.code for event in events if isinstance(event, RefusedInput)
    } == BELOW_A_FOLDER
    first, second = (event for event in events if isinstance(event, ExtractedRow))
    assert (first.features, first.sha256) == (second.features, second.sha256)


def test_p11_a_program_of_four_gigabytes_is_scored_but_not_learnt_from(tmp_path):
    path = tmp_path / "large.exe"
    sparse(path, LAUNCHER.read_bytes(), 4 * GIB)
    assert read_features(str(path)).features == read_features(str(LAUNCHER)).features
    with pytest.raises(RefusedFileError) as refused:
        read_features(str(path), hashed=True)
    assert refused.value.code == "TOO_LARGE"


def test_p11_no_damage_to_a_header_gives_anything_but_a_row_or_a_reason(tmp_path):
    draw, whole, path = random.Random(7), LAUNCHER.read_bytes(), tmp_path / "damaged.exe"
    outcomes = set()
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(draw.randint(1, 12)):
            damaged[draw.randrange(512)] = draw.randrange(256)
        path.write_bytes(damaged)
        try:
            row = read_features(str(path)).features
            assert len(row) == 29
            assert all(0 <= value < 2**64 for value in row)
            outcomes.add("row")
        except RefusedFileError as refused:
            outcomes.add(refused.code)
    assert {"row", "NOT_PE"} <= outcomes


def test_a_missing_path_and_one_too_many_are_said(tmp_path):
    assert [
        event.code for event in job(Job.SCAN, [tmp_path / "no"], bundled_model().files.head)
    ] == ["NOT_FOUND"]
    for name in "abc":
        (tmp_path / name).touch()
    *seen, (_, error) = files_below([str(tmp_path)], 2)
    assert (len(seen), error.code) == (2, "TOO_MANY_FILES")


def test_links_below_a_folder_are_no_way_around_in_circles(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "back").symlink_to(tmp_path)
    (tmp_path / "in" / "a").touch()
    assert list(files_below([str(tmp_path)], 10)) == [str(tmp_path / "in" / "a")]


@pytest.mark.parametrize("model", [b"", b"\x00" * 64, b"{}" * 40], ids=["empty", "zeros", "text"])
def test_a_broken_model_scores_nothing(model):
    (error,) = job(Job.SCAN, [LAUNCHER], model)
    assert isinstance(error, PeerError)


def test_a_job_that_nobody_knows_changes_nothing():
    (error,) = run(Frame({"job": "dance"}, ()))
    assert (error.code, isinstance(error, PeerError)) == ("BAD_JOB", True)
