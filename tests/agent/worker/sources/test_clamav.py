"""What a log of ClamAV reports, and whether the file is still the one that was scanned."""

import hashlib
import os

import pytest

from agent.worker.sources.clamav import ClamAV, Detection, detections
from agent.worker.sources.program import Program
from agent.worker.sources.source import Places

MD5 = "aa15bcf478d165efd2065190eb473bcb"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"/d/a.exe: ClamAV-Test-File.UNOFFICIAL FOUND", Detection("/d/a.exe", "", 0)),
        (
            f"Mon Nov 30 18:08:01 2026 -> /d/a: b.exe: Win.Test.X-1({MD5}:544) FOUND".encode(),
            Detection("/d/a: b.exe", MD5, 544),
        ),
        (
            b"Tue Dec  1 08:08:01 2026 -> /d/\xff.exe: Win.Test.X-1 FOUND\r",
            Detection(os.fsdecode(b"/d/\xff.exe"), "", 0),
        ),
    ],
)
def test_a_line_that_reports_a_file(line, expected):
    assert list(detections(line)) == [expected]


@pytest.mark.parametrize(
    "line",
    [
        b"/d/a.exe: OK",
        b"/d/a.exe: Empty file",
        b"----------- SCAN SUMMARY -----------",
        b"Infected files: 1",
        b"/d/a.exe: Heuristics.Encrypted.Zip FOUND",
        b"/d/a.exe: PUA.Win.Tool FOUND",
        b"Mon Nov 30 18:08:01 2026 -> SelfCheck: Database status OK.",
        b"FOUND",
        b": FOUND",
        b"\0" * 50,
    ],
)
def test_p11_every_other_line_reports_nothing(line):
    assert list(detections(line)) == []


@pytest.fixture
def scanned(tmp_path):
    file, log = tmp_path / "a.exe", tmp_path / "scan.log"
    file.write_bytes(b"MZ bad")

    def is_known(line=f"{file}: Win.X-1 FOUND", *, changed_after_s=-10.0):
        log.write_text(f"{line}\n")
        written_at = file.stat().st_ctime - changed_after_s
        os.utime(log, (written_at, written_at))
        source = ClamAV(Places([str(log)]), [str(file)])
        return source.knows(Program(str(file)))

    is_known.file = file
    return is_known


def test_a_report_counts_while_the_file_is_unchanged(scanned):
    assert scanned()
    assert not scanned(changed_after_s=10)
    assert not scanned("/elsewhere/a.exe: Win.X-1 FOUND")


def test_a_checksum_of_the_whole_file_counts_whatever_the_time(scanned):
    md5 = hashlib.md5(b"MZ bad").hexdigest()
    line = f"{scanned.file}: Win.X-1({{}}:6) FOUND"
    assert scanned(line.format(md5), changed_after_s=10)
    assert not scanned(line.format(MD5), changed_after_s=10)
    assert scanned(line.format(MD5)), "the scanner names the part that it found"


def test_p11_a_log_that_cannot_be_read_is_a_problem(tmp_path):
    assert ClamAV(Places([str(tmp_path / "missing")]), []).problem == "NOT_FOUND"
    assert ClamAV(Places([str(tmp_path)]), []).problem == "NOT_A_FILE"
