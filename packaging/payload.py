"""What goes into an installer: the program and the installed libraries that it needs, without what
only developers use.

Taken from the clone's `.venv`, whose hash-locked packages the tests ran with; nothing is
downloaded.
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
"""Of this project; the aggregator and the demonstration are no part of what IT installs on
desks."""
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
    """Every installed distribution that the program needs to run, itself left out, in order of
    name.
    """
    found: dict[str, Distribution] = {}
    waiting = [("aegisai", frozenset({"", *EXTRAS}))]
    while waiting:
        name, extras = waiting.pop()
        held = distribution(name)
        for text in held.requires or ():
            wanted = Requirement(text)
            needed = wanted.marker is None or any(
                wanted.marker.evaluate({"extra": extra}) for extra in extras
            )
            key = re.sub(r"[-_.]+", "-", wanted.name).lower()
            if needed and key not in found:
                found[key] = distribution(wanted.name)
                waiting.append((wanted.name, frozenset({"", *wanted.extras})))
    return [found[key] for key in sorted(found)]


def is_kept(path: PurePosixPath) -> bool:
    """Whether a file of an installed distribution (relative to site-packages) is of use to a person
    who runs the program.
    """
    if path.is_absolute() or ".." in path.parts or "__pycache__" in path.parts:
        return False  # commands of libraries, and what Python makes by itself
    if path.parts[0] == "PySide6":
        return _is_kept_of_qt(PurePosixPath(*path.parts[1:]))
    if "tests" in path.parts[:-1] and path.parts[0] != "tests":
        return False
    if len(path.parts) > 1 and path.parts[0].endswith(".dist-info"):
        return (
            path.name in ("METADATA", "entry_points.txt")
            or "licen" in str(path).lower()
            or path.name.startswith(("NOTICE", "COPYING"))
        )
    return path.suffix not in DROPPED_SUFFIXES


def _is_kept_of_qt(path: PurePosixPath) -> bool:
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
    """Copy them into the folder `site`; gives each distribution after it was copied."""
    for held in distributions():
        for file in held.files or ():
            source = Path(str(held.locate_file(file)))
            if is_kept(PurePosixPath(file)) and source.is_file():
                _copy(source, site / file)
        yield held


def copy_program(root: Path, site: Path, version: str) -> None:
    """Copy the committed files of the program, and its metadata with the commands that are
    there.
    """
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
