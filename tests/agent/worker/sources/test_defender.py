"""Defender's detection history, built field by field as recorded files are."""

import hashlib
import struct

import pytest

from agent.worker.sources.defender import SEPARATOR, Defender, Detection, detections
from agent.worker.sources.program import Program
from agent.worker.sources.source import Places

PATH = r"C:\Users\Someone\Downloads\a.zip"


def value(kind, data):
    return struct.pack("<II", len(data), kind) + data.ljust(-(-len(data) // 8) * 8, b"\0")


def text(content):
    return value(0x15, f"{content}\0".encode("utf-16-le"))


def number(content):
    return value(0x06, struct.pack("<I", content))


def tracking(sha256):
    key, digest = (f"{one}\0".encode("utf-16-le") for one in ("ThreatTrackingSha256", sha256))
    inside = struct.pack("<I", len(key)) + key + struct.pack("<II", 6, len(digest)) + digest
    return value(0x28, struct.pack("<5I", 1, 20, len(inside), 20 + len(inside), 0) + inside)


def history(*resources):
    """A file with these (type, location, tracking data) resources."""
    head = value(8, bytes(8)) + value(0x1E, bytes(16))
    threat = text(SEPARATOR) + text("HackTool:Win32/X") + number(len(resources))
    tail = value(0x0A, bytes(8)) + text(r"HOST\Someone") + text(r"C:\Windows\explorer.exe")
    return (
        head
        + threat
        + b"".join(
            text(SEPARATOR) + text(kind) + text(where) + number(1) + number(9) + (data + tail)
            for kind, where, data in resources
        )
    )


def test_the_files_of_a_detection_are_read_and_its_other_resources_are_not():
    content = history(
        ("file", PATH, tracking("AB" * 32)),
        ("containerfile", PATH, tracking("cd" * 32)),
        ("regkey", r"HKCU\Software\X", b""),
        ("file", r"C:\b.exe", value(0x28, b"\1\0")),
    )
    assert list(detections(content)) == [Detection(PATH, "ab" * 32), Detection(r"C:\b.exe", "")]


@pytest.mark.parametrize("cut", [0, 7, 60, 130, 200])
def test_p11_what_is_cut_off_reports_no_file(cut):
    whole = history(("file", PATH, tracking("ab" * 32)))
    assert [one.path for one in detections(whole[:cut])] == []


def test_p11_a_size_beyond_the_end_ends_the_reading():
    assert list(detections(b"\xff\xff\xff\xff\x15\0\0\0" + bytes(64))) == []


def test_a_file_counts_while_it_has_the_content_that_was_found(tmp_path):
    folder, file = tmp_path / "05", tmp_path / "A.exe"
    folder.mkdir()
    file.write_bytes(b"MZ bad")
    found = hashlib.sha256(b"MZ bad").hexdigest()
    (folder / "guid").write_bytes(history(("file", str(file).upper(), tracking(found))))
    source = Defender(Places([str(tmp_path / "05")]), [str(file)])
    assert (source.knows(Program(str(file))), source.problem) == (True, "")
    file.write_bytes(b"MZ good")
    assert not source.knows(Program(str(file)))
