"""`make package`: build the Debian package for this architecture into dist/.

usage: python packaging/build.py [--fast] [--into DIR]      --fast: compress less, for tests

The program and its libraries go into a folder of their own (/usr/lib/aegisai). The distribution's
Python runs them, so its security updates apply here too. Launcher, login entry, icons, man page
and an example policy go where a Debian desktop looks for them.

Rules
1. The same commit gives the same package: no time, mode or name depends on who builds it.
2. The package never asks a question. It owns nothing in /etc but the login entry; a policy there is
   IT's own file.
3. No maintainer script: nothing of this package runs as root. New or missing files are all that a
   running agent needs to notice an upgrade or a removal (agent.program).
"""

import argparse
import compileall
import gzip
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from manpage import manpage
from payload import copy_libraries, copy_program

ROOT = Path(__file__).resolve().parent.parent
LINUX = ROOT / "packaging" / "linux"
ICON = ROOT / "ui" / "icons" / "aegisai.svg"
ICON_SIZES = (32, 48, 128, 256)
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
PRIVATE = Path("usr/lib/aegisai")


def main() -> int:
    """Build, then print the file's name, size and contents."""
    parser = argparse.ArgumentParser(
        prog="packaging/build.py", description="Build a Debian package into dist/."
    )
    parser.add_argument("--fast", action="store_true", help="compress less, for tests")
    parser.add_argument("--into", type=Path, default=ROOT / "dist", metavar="DIR")
    options = parser.parse_args()
    if shutil.which("dpkg-deb") is None:
        print("build: dpkg-deb is missing. Build the package on Debian or Ubuntu.", file=sys.stderr)
        return 1
    options.into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="aegisai-package-") as folder:
        tree = Path(folder) / "root"
        names = fill(tree)
        package = pack(tree, options.into, "zstd" if options.fast else "xz")
    print(
        f"{package}: {package.stat().st_size / 2**20:.1f} MiB, {PYTHON}, {len(names)} libraries:"
        f" {', '.join(names)}"
    )
    return 0


def fill(tree: Path) -> list[str]:
    """Lay out the installed files below `tree`; return the libraries' names and versions."""
    version, date = _version(), _date()
    site = tree / PRIVATE / "lib" / PYTHON / "site-packages"
    names = [f"{library.name} {library.version}" for library in copy_libraries(site)]
    copy_program(ROOT, site, version)
    _venv(tree / PRIVATE)
    for source, target in _plain_files():
        _put(tree / target, source.read_bytes())
    _icons(tree / "usr/share/icons/hicolor")
    changes = tree / "usr/share/doc/aegisai/changelog.gz"
    _put(changes, gzip.compress((ROOT / "CHANGELOG.md").read_bytes(), mtime=0))
    _put(
        tree / "usr/share/man/man1/aegis.1.gz",
        gzip.compress(_manpage(version, date).encode(), mtime=0),
    )
    _normalise(tree, int(date.timestamp()))
    compileall.compile_dir(
        site,
        quiet=2,
        workers=0,
        stripdir=str(tree),
        prependdir="/",
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    _control(tree, version)
    _normalise(tree, int(date.timestamp()))
    return names


def pack(tree: Path, into: Path, compression: str) -> Path:
    """Write the .deb and return its path."""
    package = into / f"aegisai_{_version()}_{_architecture()}.deb"
    environ = {**os.environ, "SOURCE_DATE_EPOCH": str(int(_date().timestamp()))}
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", f"-Z{compression}", "-b", str(tree), str(package)],
        env=environ, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return package


def _plain_files() -> Iterator[tuple[Path, str]]:
    yield LINUX / "aegisai.desktop", "usr/share/applications/aegisai.desktop"
    yield LINUX / "aegisai-autostart.desktop", "etc/xdg/autostart/aegisai.desktop"
    yield LINUX / "policy.toml", "usr/share/doc/aegisai/examples/policy.toml"
    yield LINUX / "copyright", "usr/share/doc/aegisai/copyright"
    yield ROOT / "docs" / "CONTRACT.md", "usr/share/doc/aegisai/CONTRACT.md"


def _venv(folder: Path) -> None:
    """Make a virtual environment on the distribution's Python, with one command. It keeps the
    program's libraries apart from the system's.
    """
    _put(folder / "pyvenv.cfg", b"home = /usr/bin\ninclude-system-site-packages = false\n")
    program = (
        f"#!/{PRIVATE}/bin/python -I\nimport sys\n\nfrom agent.cli.start import"
        " main\n\nsys.exit(main())\n"
    )
    _put(folder / "bin/aegis", program.encode(), mode=0o755)
    (folder / "bin/python").symlink_to(f"/usr/bin/{PYTHON}")
    command = folder.parents[1] / "bin" / "aegis"
    command.parent.mkdir(parents=True, exist_ok=True)
    command.symlink_to("../lib/aegisai/bin/aegis")


def _icons(folder: Path) -> None:
    from PySide6.QtCore import QByteArray
    from PySide6.QtGui import QImage, QPainter
    from PySide6.QtSvg import QSvgRenderer

    _put(folder / "scalable/apps/aegisai.svg", ICON.read_bytes())
    for size in ICON_SIZES:
        image = QImage(size, size, QImage.Format.Format_ARGB32)
        image.fill(0)
        painter = QPainter(image)
        QSvgRenderer(QByteArray(ICON.read_bytes())).render(painter)
        painter.end()
        target = folder / f"{size}x{size}" / "apps" / "aegisai.png"
        target.parent.mkdir(parents=True)
        if not image.save(str(target)):
            raise OSError(f"cannot write {target}")


def _manpage(version: str, date: datetime) -> str:
    from agent.cli.main import parser

    os.environ["COLUMNS"] = "200"
    return manpage(parser(), f"{date:%Y-%m-%d}", version)


def _control(tree: Path, version: str) -> None:
    folder = tree / "DEBIAN"
    kib = sum(path.lstat().st_size for path in tree.rglob("*") if not path.is_symlink()) // 1024
    minor = sys.version_info.minor
    values = {
        "version": version,
        "architecture": _architecture(),
        "size": kib,
        "python": f"python3 (>= 3.{minor}), python3 (<< 3.{minor + 1})",
    }
    _put(folder / "control", (LINUX / "control").read_text().format(**values).encode())
    _put(folder / "conffiles", b"/etc/xdg/autostart/aegisai.desktop\n")


def _normalise(tree: Path, at: int) -> None:
    """Set modes and times that do not depend on the builder, the hour or the umask (rule 1)."""
    for path in sorted(tree.rglob("*"), reverse=True):
        if not path.is_symlink():
            is_executable = path.is_dir() or path.parent.name == "bin"
            path.chmod(0o755 if is_executable else 0o644)
        os.utime(path, (at, at), follow_symlinks=False)


def _put(path: Path, content: bytes, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)


def _architecture() -> str:
    """What Debian calls this machine's architecture, such as amd64."""
    return subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
    ).stdout.strip()


def _version() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def _date() -> datetime:
    """The time of the last commit (rule 1)."""
    stamp = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return datetime.fromtimestamp(int(stamp), UTC)


if __name__ == "__main__":
    sys.exit(main())
