"""The Debian package: what it contains, and that it installs, runs and leaves nothing behind."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path, PurePosixPath

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from agent.config import machine_policy
from tests.fakes.timeouts import CYCLE_TIMEOUT_S, TIMEOUT_S

ROOT = Path(__file__).parents[2]


@pytest.fixture
def payload(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "packaging"))
    import payload

    return payload


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("numpy/_core/multiarray.py", True),
        ("numpy/_core/tests/test_array.py", False),
        ("numpy/_core/include/numpy/arrayobject.h", False),
        ("../../bin/f2py", False),
        ("sklearn/__pycache__/base.cpython-311.pyc", False),
        ("tuf-7.0.1.dist-info/METADATA", True),
        ("tuf-7.0.1.dist-info/RECORD", False),
        ("tuf-7.0.1.dist-info/licenses/LICENSE", True),
        ("PySide6/QtWidgets.abi3.so", True),
        ("PySide6/QtQuick.abi3.so", False),
        ("PySide6/Qt/lib/libQt6Core.so.6", True),
        ("PySide6/Qt/lib/libicudata.so.73", True),
        ("PySide6/Qt/lib/libQt6Designer.so.6", False),
        ("PySide6/Qt/plugins/platforms/libqxcb.so", True),
        ("PySide6/Qt/plugins/platformthemes/libqgtk3.so", False),
        ("PySide6/Qt/qml/QtQuick/qmldir", False),
        ("PySide6/designer", False),
    ],
)
def test_only_files_that_the_program_needs_are_packed(payload, path, kept):
    assert payload.is_kept(PurePosixPath(path)) is kept


def test_every_runtime_dependency_is_packed(payload):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [text for extra in payload.EXTRAS for text in project["optional-dependencies"][extra]]
    declared = [Requirement(text) for text in project["dependencies"] + extras]
    needed = {
        canonicalize_name(one.name) for one in declared if not one.marker or one.marker.evaluate()
    }
    packed = {canonicalize_name(one.name) for one in payload.distributions()}
    assert "requests" in needed
    assert needed <= packed
    assert {"certifi", "charset-normalizer", "idna"} <= packed  # what requests needs


def test_no_development_or_server_library_is_packed(payload):
    names = {library.name.lower() for library in payload.distributions()}
    assert {
        "cryptography",
        "keyring",
        "numpy",
        "psutil",
        "pyside6_essentials",
        "scikit-learn",
    } <= names
    assert not names & {
        "pytest",
        "mypy",
        "ruff",
        "fastapi",
        "uvicorn",
        "sqlalchemy",
        "matplotlib",
        "setuptools",
        "aegisai",
    }


def test_the_manual_page_has_every_command():
    sys.path.insert(0, str(ROOT / "packaging"))
    try:
        from datetime import UTC, datetime

        from manpage import manpage

        from agent.cli.main import parser
    finally:
        sys.path.pop(0)
    page = manpage(parser(), f"{datetime(2026, 1, 1, tzinfo=UTC):%Y-%m-%d}", "1.0")
    for command in ("status", "consent grant", "samples add", "scan", "erase", "doctor"):
        assert f".B aegis {command}" in page


def test_every_entry_of_the_example_policy_is_valid():
    example = (ROOT / "packaging/linux/policy.toml").read_text()
    assert machine_policy.read(example.encode(), "policy.toml").bounds == {}
    whole = re.sub(r'(?m)^# (?=[a-z"\[])', "", example)
    policy = machine_policy.read(whole.encode(), "policy.toml")
    assert "Not on build servers" in policy.denied
    assert policy.bounds == {"cpu.share_idle": 25}
    assert policy.invitation.startswith("aegis1")


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    into = tmp_path_factory.mktemp("package")
    build = [sys.executable, "packaging/build.py", "--fast", "--into", str(into)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=CYCLE_TIMEOUT_S)
    (built,) = into.glob("*.deb")
    return built


@pytest.fixture
def root(tmp_path):
    """A file system in which nothing is installed yet."""
    folder = tmp_path / "root"
    for name in ("info", "updates", "triggers"):
        (folder / "var/lib/dpkg" / name).mkdir(parents=True)
    (folder / "var/lib/dpkg/status").touch()
    return folder


@pytest.mark.system
def test_the_package_installs_runs_and_purges_its_files(package, root, tmp_path):
    before = files(root)
    dpkg(root, "--install", package)
    for name in ("usr/share/applications/aegisai.desktop", "etc/xdg/autostart/aegisai.desktop"):
        subprocess.run(["desktop-file-validate", str(root / name)], check=True, timeout=TIMEOUT_S)
    program = next(Path(__import__("setuptools").__file__).parent.glob("cli-64.exe"))
    assert aegis(root, tmp_path, "status", "--json")["consent"]["state"] == "UNASKED"
    (result,) = aegis(root, tmp_path, "scan", "--json", str(program))["results"]
    assert 0 <= result["probability"] <= 1

    dpkg(root, "--purge", "aegisai")
    assert files(root) == before


@pytest.mark.system
def test_a_silent_installation_asks_nothing_and_never_touches_an_existing_policy(package, root):
    policy = root / "etc/aegisai/policy.toml"
    policy.parent.mkdir(parents=True)
    policy.write_text("contribute = false\n")
    before = files(root)
    dpkg(root, "--install", package)
    policy.write_text("contribute = true\n")
    dpkg(root, "--install", package)  # as an upgrade does
    assert policy.read_text() == "contribute = true\n"

    dpkg(root, "--purge", "aegisai")
    assert policy.read_text() == "contribute = true\n"
    assert files(root) == before


def dpkg(root, *words):
    """Run it on another root, with nobody there to answer a question."""
    options = [
        f"--root={root}",
        "--force-depends",
        "--force-script-chrootless",
        "--force-not-root",
    ]
    ended = subprocess.run(
        ["dpkg", *options, *map(str, words)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


def files(root):
    return sorted(
        str(path.relative_to(root))
        for path in root.rglob("*")
        if "var/lib/dpkg" not in str(path) and "var/log" not in str(path)
    )


def aegis(root, tmp_path, *words):
    """Run it where it was unpacked, on the Python that built it: this machine's own may have
    another version.
    """
    private = root / "usr/lib/aegisai"
    python = private / "bin" / "python"
    python.unlink()
    python.symlink_to(Path(sys._base_executable))
    (private / "pyvenv.cfg").write_text(
        f"home = {Path(sys._base_executable).parent}\ninclude-system-site-packages = false\n"
    )
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AEGIS_HOME": str(tmp_path / "home"),
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
    }
    done = subprocess.run(
        [python, "-I", "-m", "agent", *words],
        env=environ,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
