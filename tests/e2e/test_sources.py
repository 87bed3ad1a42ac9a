"""Sources of samples on real parts: ClamAV and its log, an installed Debian package, an installed
Python package, signed programs of a wheel. With every switch off nothing is opened.
"""

import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from agent.config.sample_sources import SystemPlaces
from agent.protocol.sources import Source
from agent.supervisor.process_worker import ProcessWorker
from tests.fakes.aggregator import FakeAggregator
from tests.fakes.device import Device

pytestmark = pytest.mark.system
ROOT = Path(__file__).parents[2]
TEST_FILES = Path("/usr/share/clamav-testfiles")
INFO = "/var/lib/dpkg/info"
DATABASE = "aa15bcf478d165efd2065190eb473bcb:544:ClamAV-Test-File\n"
WHEELS = ROOT / ".venv" / "test-wheels"


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "programs"
    folder.mkdir()
    return folder


@pytest.fixture
def make(tmp_path):
    """Makes a device with a real worker whose sources are switched on."""
    devices = []

    async def make(folder, *sources, logs=(), authorities=()):
        device = Device(
            tmp_path, worker=ProcessWorker, system_places=SystemPlaces(INFO, tuple(map(str, logs)))
        )
        devices.append(device)
        name_authorities(device, authorities)
        await device.grant()
        await device.call("settings.set", key="cpu.share_in_use", value=100)
        for source in sources:
            await device.call("sources.set", source=source, on=True, surface="cli")
        await device.call("sources.add", path=str(folder))
        return device

    yield make
    for device in devices:
        device.close()


def name_authorities(device, authorities):
    if authorities:
        task = {"task_id": "task", "signing_authorities": " ".join(authorities)}
        device.agent.effective.keep_task(task)


@pytest.fixture(scope="module")
def signed_wheel():
    """The runtime of Microsoft's C++, as a wheel brings it: signed programs."""
    found = sorted(WHEELS.glob("msvc_runtime-*.whl"))
    if not found:
        pytest.skip("the signed wheel is missing: sh packaging/setup.sh system fetches it")
    return found[0]


def clamscan(folder, log):
    """Scan with a database of one line; returns the programs that were reported."""
    (log.parent / "test.hdb").write_text(DATABASE)
    command = ["clamscan", "-d", log.parent / "test.hdb", "-r", f"--log={log}", folder]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    return {
        Path(line.split(": ")[0])
        for line in done.stdout.splitlines()
        if line.endswith("FOUND") and Path(line.split(": ")[0]).read_bytes()[:2] == b"MZ"
    }


async def test_what_clamav_reports_becomes_malicious_rows_while_it_is_unchanged(
    make, folder, tmp_path
):
    for file in TEST_FILES.glob("*.exe"):
        shutil.copy(file, folder / file.name)
    reported = clamscan(folder, tmp_path / "scan.log")
    assert len(reported) >= 10
    altered = folder / "clam-upx.exe"
    altered.write_bytes(altered.read_bytes() + b"\0")
    os.utime(altered, (2**31, 2**31))
    device = await make(folder, "clamav", logs=[tmp_path / "scan.log"])
    answer = await device.call("sources.search")
    rows = device.agent.samples.page(0, 100)
    assert {(row.source, row.label) for row in rows} == {("clamav", 1)}
    assert len(rows) == answer["added"] > 8
    # Two programs may share a header, and then they share a row.
    assert answer["added"] <= len(reported) - 1


async def test_an_installed_file_is_benign_and_one_that_is_also_reported_is_no_row(make, tmp_path):
    device = await make(TEST_FILES, "packages")
    answer = await device.call("sources.search")
    assert (answer["added"] > 8, set(answer["rows"])) == (True, {"packages"})
    clamscan(TEST_FILES, tmp_path / "scan.log")
    await device.call("sources.log", path=str(tmp_path / "scan.log"))
    await device.call("sources.set", source="clamav", on=True, surface="cli")
    assert (await device.call("sources.search"))["rows"] == {}


async def test_a_python_packages_files_are_benign_until_a_byte_is_altered(make, folder):
    import setuptools

    site = Path(setuptools.__file__).parents[1]
    for part in (site / "setuptools", next(site.glob("setuptools-*.dist-info"))):
        shutil.copytree(part, folder / part.name)
    altered = folder / "setuptools" / "cli-arm64.exe"
    content = bytearray(altered.read_bytes())
    content[-1] ^= 1
    altered.write_bytes(content)
    device = await make(folder, "wheels")
    answer = await device.call("sources.search")
    assert answer["programs"] >= 6
    assert 0 < answer["rows"]["wheels"] < answer["programs"]
    digests = device.agent.samples.digests([hashlib.sha256(content).hexdigest()])
    assert not device.agent.database.row("SELECT 1 FROM sample WHERE digest = ?", digests[0])


async def test_signed_programs_are_benign_under_a_named_authority(make, folder, signed_wheel):
    import lief

    with zipfile.ZipFile(signed_wheel) as wheel:
        wheel.extractall(folder)
    programs = sorted(folder.rglob("msvcp140*.dll"))
    brought = lief.PE.parse(str(programs[0])).signatures[0].certificates
    authorities = {hashlib.sha256(bytes(one.raw)).hexdigest() for one in brought if one.is_ca}
    for program in programs[1:]:
        content = bytearray(program.read_bytes())
        content[0x600] ^= 1
        program.write_bytes(content)
    for other in set(folder.rglob("*")) - set(programs):
        if other.is_file():
            other.unlink()
    device = await make(folder, "signed", authorities=sorted(authorities))
    answer = await device.call("sources.search")
    assert (answer["programs"] >= len(programs), answer["rows"]) == (True, {"signed": 1})
    name_authorities(device, ["00" * 32])
    device.agent.samples.clear()
    assert (await device.call("sources.search"))["rows"] == {}


async def test_c20_no_name_path_or_serial_of_a_file_reaches_the_store(make, folder, tmp_path):
    draw = random.Random(7)
    planted = [f"Jane-Doe-{draw.randrange(10**9)}-SN{draw.randrange(10**9)}" for _ in range(12)]
    for number, name in enumerate(planted):
        (folder / name).mkdir()
        content = (TEST_FILES / "clam-nsis.exe").read_bytes() + name.encode() + bytes([number])
        (folder / name / f"{name}.exe").write_bytes(content)
    log = tmp_path / "scan.log"
    clamscan(folder, log)
    device = await make(folder, "clamav", logs=[log])
    answer = await device.call("sources.search")
    assert (answer["programs"], answer["added"]) == (12, 1)
    await device.call("samples.mark", paths=[str(folder / planted[0])], label="benign")
    device.agent.database.row("PRAGMA wal_checkpoint(TRUNCATE)")
    store = b"".join(
        one.read_bytes() for one in device.home.rglob("*") if one.is_file() and one.stat().st_size
    )
    assert len(store) > 10_000
    digests = [hashlib.sha256(one.read_bytes()).digest() for one in folder.rglob("*.exe")]
    hidden = [word.encode() for word in planted] + digests + [one.hex().encode() for one in digests]
    assert not [word for word in hidden if word in store]
    utf16 = [word.decode().encode("utf-16-le") for word in hidden[:12]]
    assert not [word for word in utf16 if word in store]


@pytest.mark.parametrize("is_on", [False, True], ids=["off", "on"])
def test_with_every_switch_off_nothing_is_opened(folder, tmp_path, is_on):
    (folder / "a.exe").write_bytes((TEST_FILES / "clam.exe").read_bytes())
    environ = {
        **os.environ,
        "AEGIS_HOME": str(tmp_path / "home"),
        "PYTHONPATH": str(ROOT),
    }

    def aegis(*words, traced=()):
        command = [*traced, sys.executable, "-P", "-m", "agent", *words, "--json"]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)
        return done.returncode, json.loads(done.stdout)

    notice = aegis("consent", "show")[1]["notice_id"]
    assert aegis("consent", "grant", "--accept", notice)[0] == 0
    aegis("sources", "add", str(folder))
    if is_on:
        assert aegis("sources", "on", "wheels")[0] == 0
        assert aegis("settings", "set", "cpu.share_in_use", "100")[0] == 0
    trace = tmp_path / "trace"
    strace = ("strace", "-f", "-qq", "-e", "trace=open,openat,openat2", "-o", str(trace))
    code, answer = aegis("sources", "search", traced=strace)
    opened = set(re.findall(r'open\w*\([^"]*"([^"]+)"', trace.read_text()))
    touched = {one for one in opened if one.startswith((str(folder), INFO, "/var/log/clamav"))}
    if is_on:
        assert (code, answer["programs"]) == (0, 1)
        assert str(folder / "a.exe") in touched
        assert not [one for one in touched if not one.startswith(str(folder))]
    else:
        assert (code, answer["error"]["code"]) == (1, "SOURCES_OFF")
        assert touched == set()


async def test_a_cycle_collects_and_trains_on_what_it_found(make, folder, tmp_path):
    for file in TEST_FILES.glob("*.exe"):
        shutil.copy(file, folder / file.name)
    clamscan(folder, tmp_path / "scan.log")
    device = await make(folder, "clamav", logs=[tmp_path / "scan.log"])
    device.add_rows(20)
    await device.call("enroll", invitation=device.server.invitation())
    await device.grant()
    await device.call("sources.set", source="clamav", on=True, surface="cli")
    result = await device.run_cycle()
    counts = device.agent.samples.counts_by_source()
    assert counts[Source.CLAMAV] > 8
    assert result.rows_used == 20 + counts[Source.CLAMAV]
    assert isinstance(device.server, FakeAggregator)
