"""Chooses what goes into an installer: the program and the libraries that it needs to run, without
the parts that only developers use.

The libraries come from the clone's `.venv`: the hash-locked packages that the tests ran with.
Nothing is downloaded.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib.metadata import Distribution, distribution
from pathlib import Path, PurePosixPath

from packaging.requirements import Requirement

EXTRAS = ("ui",)
"""This project's extras on a device. The package contains neither the aggregator nor the
demonstration."""
PROGRAM = ("agent", "ui")
COMMANDS = ("tray", "window")
DROPPED_SUFFIXES = frozenset(
    {
        ".pyc",
        ".pyi",
        ".pyx",
        ".pxd",
        ".pxi",
        ".c",
        ".h",
        ".hpp",
        ".cpp",
        ".f",
        ".f90",
        ".a",
        ".in",
        ".build",
        ".cmake",
    }
)
QT_MODULES = frozenset({"QtCore", "QtDBus", "QtGui", "QtNetwork", "QtSvg", "QtWidgets"})
QT_LIBRARIES = frozenset(
    {
        "Core",
        "DBus",
        "Gui",
        "Network",
        "OpenGL",
        "Svg",
        "Widgets",
        "WaylandClient",
        "WaylandEglClientHwIntegration",
        "XcbQpa",
    }
    | {"WaylandEglPlatformIntegration", "WlShellIntegration"}
)
QT_PLUGINS = (
    "iconengines/*",
    "imageformats/libqsvg.so",
    "imageformats/libqico.so",
    "platforms/libqxcb.so",
    "platforms/libqwayland*.so",
    "platforms/libqoffscreen.so",
    "platforminputcontexts/libcompose*",
    "platforminputcontexts/libibus*",
    "platformthemes/libqxdgdesktopportal.so",
    "wayland-decoration-client/*",
    "wayland-graphics-integration-client/libqt-plugin-wayland-egl.so",
    "wayland-shell-integration/*",
    "xcbglintegrations/*",
)


def distributions() -> list[Distribution]:
    """Return every installed distribution that the program needs to run, sorted by name; the
    program itself is not among them.
    """
    found: dict[str, Distribution] = {}
    waiting = [("aegisai", frozenset({"", *EXTRAS}))]
    while waiting:
        name, extras = waiting.pop()
        for text in distribution(name).requires or ():
            requirement = Requirement(text)
            is_needed = requirement.marker is None or any(
                requirement.marker.evaluate({"extra": extra}) for extra in extras
            )
            key = re.sub(r"[-_.]+", "-", requirement.name).lower()
            if is_needed and key not in found:
                found[key] = distribution(requirement.name)
                waiting.append((requirement.name, frozenset({"", *requirement.extras})))
    return [found[key] for key in sorted(found)]


def is_kept(path: PurePosixPath) -> bool:
    """Whether running the program takes this file of an installed distribution (relative to
    site-packages).
    """
    if path.is_absolute() or ".." in path.parts or "__pycache__" in path.parts:
        return False  # commands of libraries, and files that Python writes by itself
    if path.parts[0] == "PySide6":
        return _is_kept_qt_file(PurePosixPath(*path.parts[1:]))
    if "tests" in path.parts[:-1] and path.parts[0] != "tests":
        return False
    if len(path.parts) > 1 and path.parts[0].endswith(".dist-info"):
        return (
            path.name in ("METADATA", "entry_points.txt")
            or "licen" in str(path).lower()
            or path.name.startswith(("NOTICE", "COPYING"))
        )
    return path.suffix not in DROPPED_SUFFIXES


def _is_kept_qt_file(path: PurePosixPath) -> bool:
    if path.parts[:2] == ("Qt", "lib"):
        library = re.match(r"libQt6(\w+)\.so", path.name)
        return library is None or library[1] in QT_LIBRARIES
    if path.parts[:2] == ("Qt", "plugins"):
        return any(fnmatch(str(PurePosixPath(*path.parts[2:])), pattern) for pattern in QT_PLUGINS)
    if path.parts[:2] == ("Qt", "translations"):
        return fnmatch(path.name, "qtbase_*.qm")
    if len(path.parts) > 1:
        return False
    module = re.match(r"(Qt\w+)\.abi3\.so", path.name)
    return (
        module[1] in QT_MODULES
        if module
        else path.suffix == ".py" or path.name.startswith("libpyside6.")
    )


def copy_libraries(site: Path) -> Iterator[Distribution]:
    """Copy the libraries into the folder `site`; yield each one once it is copied."""
    for library in distributions():
        for file in library.files or ():
            source = Path(str(library.locate_file(file)))
            if is_kept(PurePosixPath(file)) and source.is_file():
                _copy(source, site / file)
        yield library


def copy_program(root: Path, site: Path, version: str) -> None:
    """Copy the program's committed files, and write metadata that names its commands."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", *PROGRAM], cwd=root, capture_output=True, text=True, check=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        _copy(root / name, site / name)
    info = site / f"aegisai-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: aegisai\nVersion: {version}\n")
    own = distribution("aegisai").entry_points.select(group="aegisai.commands")
    lines = [f"{point.name} = {point.value}" for point in own if point.name in COMMANDS]
    (info / "entry_points.txt").write_text("\n".join(["[aegisai.commands]", *lines, ""]))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
