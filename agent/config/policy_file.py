"""Finds the machine's policy file and says whether only the administrator can have written it.

1. The file lies in a fixed place. Only a home that the demo made, on its way to a server on this
   computer, follows AEGIS_POLICY: there nobody's "no" can be lifted.
2. It counts only if nobody but the administrator can have written it: the file, its folder, every
   folder above and every link on the way belong to an owner that counts, and neither group nor
   others may write to them. Above its own folder a sticky folder is enough.
3. A file that fails is not obeyed, and what it may have forbidden counts as forbidden: it may be
   IT's "no" that somebody else opened to others. A folder that fails counts like that even without
   a file, which somebody may have removed.
"""

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.files import atomic_file
from agent.paths import policy_path

MAX_POLICY_BYTES = 64 * 1024
MAX_LINKS = 40
ROOT = 0
_ADMIN_GROUPS_OF_MACOS = (0, 80)
"""wheel and admin: macOS gives some folders of the system to these groups."""


@dataclass(frozen=True)
class PolicyPlace:
    """Where the policy lies, and who may have written it."""

    path: Path
    owners: frozenset[int] = frozenset()
    """User ids that count beside the administrator's; none on a person's device."""


@dataclass(frozen=True)
class Trail:
    """What the way to a policy file says."""

    stamp: object
    """Changes when a file, folder or link on the way does."""
    fault: str = ""
    """Why the file cannot be trusted, as a clause; empty when it can."""
    remedy: str = ""
    error: str = ""
    """Why it cannot be read; empty when it can."""
    is_missing: bool = False
    file: Path | None = None
    """The file behind all links; None where there is none."""


def machine_place() -> PolicyPlace:
    """Return the place of this machine's policy."""
    return PolicyPlace(policy_path())


def demo_place(environ: Mapping[str, str]) -> PolicyPlace | None:
    """Return the place that AEGIS_POLICY names, for a home of the demo; None without one."""
    chosen = environ.get("AEGIS_POLICY")
    if not chosen:
        return None
    owners = frozenset({os.getuid()}) if hasattr(os, "getuid") else frozenset[int]()
    return PolicyPlace(Path(chosen).absolute(), owners)


def inspect(place: PolicyPlace) -> Trail:
    """Follow the way to the policy file. Reads no content and never raises."""
    if sys.platform == "win32":
        from agent.config.windows_acl import fault_of

        return _inspect_windows(place.path, fault_of)
    try:
        return _inspect(place)
    except OSError as error:
        return Trail(error.errno, error=error.strerror or "not readable")


def read(trail: Trail) -> bytes:
    """Return the content of the file that `inspect` trusted.

    Raises OSError, also when somebody has replaced it since, and ValueError when it is too large.
    """
    assert trail.file is not None  # noqa: S101 - the caller has a file
    with os.fdopen(atomic_file.open_plain(trail.file, os.O_RDONLY), "rb") as file:
        if not os.path.samestat(os.fstat(file.fileno()), trail.file.lstat()):
            raise OSError(errno.ESTALE, "it was replaced while it was read")
        content = file.read(MAX_POLICY_BYTES + 1)
    if len(content) > MAX_POLICY_BYTES:
        raise ValueError(f"larger than {MAX_POLICY_BYTES} bytes")
    return content


def _inspect(place: PolicyPlace) -> Trail:
    folder, owners = place.path.parent, place.owners | {ROOT}
    stamps: list[object] = []
    faults: list[tuple[str, str]] = []
    is_direct, last = True, folder

    def follow(path: Path) -> None:
        nonlocal is_direct, last
        for step, found in _steps(path):
            stamps.append(_stamp(found))
            faults.extend(_faults(step, found, owners))
            is_direct = is_direct and not stat.S_ISLNK(found.st_mode)
            last = step

    try:
        follow(folder)
    except FileNotFoundError:
        if is_direct:
            return Trail(tuple(stamps), is_missing=True)
        raise
    real_folder = last
    closed = _faults(real_folder, real_folder.lstat(), owners, may_be_sticky=False)
    try:
        (real_folder / place.path.name).lstat()
    except FileNotFoundError:
        # Without a file only its own folder matters: who can write to it may have removed one.
        fault, remedy = next(iter(closed if is_direct else (*closed, *faults)), ("", ""))
        return Trail((*stamps, fault), fault, remedy, is_missing=True)
    follow(real_folder / place.path.name)
    if not stat.S_ISREG(last.lstat().st_mode):
        faults.append((f"{last} is not a file", "Ask your IT."))
    fault, remedy = next(iter((*faults, *closed)), ("", ""))
    return Trail(tuple(stamps), fault, remedy, file=last)


def _steps(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield each folder, link and file on the way to `path`, from the root on. Raises OSError."""
    here, links = Path(path.anchor), 0
    todo = list(reversed(path.parts[1:]))
    yield here, here.lstat()
    while todo:
        name = todo.pop()
        if name == "..":
            here = here.parent
            continue
        step = here / name
        found = step.lstat()
        yield step, found
        if not stat.S_ISLNK(found.st_mode):
            here = step
            continue
        links += 1
        if links > MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        target = step.readlink()
        if target.is_absolute():
            here = Path(target.anchor)
        todo.extend(reversed(target.parts[1:] if target.is_absolute() else target.parts))


def _faults(
    step: Path, found: os.stat_result, owners: frozenset[int], *, may_be_sticky: bool = True
) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with one step, and the remedy."""
    if found.st_uid not in owners:
        yield (
            f"{step} does not belong to the administrator",
            f"Ask your IT to check it, then: sudo chown root {step}",
        )
    if stat.S_ISLNK(found.st_mode):  # the mode of a link says nothing
        return
    others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if sys.platform == "darwin" and found.st_gid in _ADMIN_GROUPS_OF_MACOS:
        others &= stat.S_IWOTH
    is_sticky = stat.S_ISDIR(found.st_mode) and bool(found.st_mode & stat.S_ISVTX)
    if others and not (is_sticky and may_be_sticky):
        yield (
            f"users other than the administrator can change {step}"
            f" (mode {stat.S_IMODE(found.st_mode):04o})",
            f"Ask your IT to check it, then: sudo chmod go-w {step}",
        )


def _stamp(found: os.stat_result) -> tuple[int, ...]:
    """Return what changes with the content, the owner or the mode of a file or folder.

    The times of a folder are left out: other files come and go beside the policy.
    """
    owner = (found.st_dev, found.st_ino, found.st_mode, found.st_uid, found.st_gid)
    if stat.S_ISDIR(found.st_mode):
        return owner
    return (*owner, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _inspect_windows(path: Path, fault_of: Callable[[Path], str]) -> Trail:
    """Check the file and its folder by their access lists. Unverified on Windows."""
    remedy = "Ask your IT to check it and to give it to the Administrators alone."
    try:
        if not path.parent.exists():
            return Trail(None, is_missing=True)
        if fault := fault_of(path.parent):
            return Trail(fault, fault, remedy, is_missing=not path.exists())
        if not path.exists():
            return Trail(None, is_missing=True)
        found = path.lstat()
        fault = fault_of(path)
        return Trail((*_stamp(found), fault), fault, remedy if fault else "", file=path)
    except OSError as error:
        return Trail(error.errno, error=error.strerror or "not readable")
