"""Confines a process to some files, and from the network where the kernel can (Landlock, Linux 5.13
and later), through raw system calls.
"""

import ctypes
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass

from agent.sandbox.access import Access

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""The numbers are the same on every architecture."""
_VERSION_FLAG = 1
_PATH_BENEATH = 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_WRITE_FILE, _REMOVE_FILE, _MAKE_FILE = 1 << 1, 1 << 5, 1 << 8
_FOLDER_RIGHTS = _READ_DIR | _REMOVE_FILE | _MAKE_FILE
_FIRST_RIGHTS = (1 << 13) - 1
"""All 13 rights of version 1: execute, read, write, remove and make of every kind."""
_MOVE, _TRUNCATE, _DEVICE_CONTROL = 1 << 13, 1 << 14, 1 << 15


@dataclass(frozen=True)
class Handled:
    """What a version of Landlock can forbid (linux/landlock.h). All of it is forbidden first."""

    files: int
    network: int
    """TCP: bind and connect."""
    scopes: int
    """Abstract Unix sockets of others, signals to others."""
    size: int
    """Of the structure that carries it, in bytes."""


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("rights", ctypes.c_uint64), ("folder", ctypes.c_int32)]


def handled(version: int) -> Handled:
    """Return what to ask of this version. Pure."""
    files = _FIRST_RIGHTS
    files |= _MOVE if version >= 2 else 0
    files |= _TRUNCATE if version >= 3 else 0
    files |= _DEVICE_CONTROL if version >= 5 else 0
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    return Handled(files, 3 if version >= 4 else 0, 3 if version >= 6 else 0, size)


def names(version: int) -> tuple[str, ...]:
    """Return the rules that this version enforces. Pure."""
    since = ((1, "named files only"), (4, "no TCP"), (6, "no abstract sockets"), (6, "no signals"))
    return tuple(name for first, name in since if version >= first)


def version() -> int:
    """Return the version that the kernel offers; 0 if it has none or it is switched off."""
    return max(0, int(_libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_FLAG)))


def confine(access: Access, program: Iterable[str]) -> tuple[str, ...]:
    """Confine this thread and what it starts. Return the rules now in force; none on a failure.

    `program`: files and folders that it may read besides. Files that are open stay open. Needs
    PR_SET_NO_NEW_PRIVS.
    """
    libc, offered = _libc(), version()
    if not offered:
        return ()
    ruleset = _ruleset(libc, handled(offered))
    if ruleset < 0:
        return ()
    try:
        for path in (*program, *access.read):
            _allow(libc, ruleset, path, _READ_FILE | _READ_DIR)
        for path in access.write:
            _allow(libc, ruleset, path, _READ_FILE | _WRITE_FILE | _FOLDER_RIGHTS)
        is_confined = libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0
    finally:
        os.close(ruleset)
    return names(offered) if is_confined else ()


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _ruleset(libc: ctypes.CDLL, asked: Handled) -> int:
    words = (ctypes.c_uint64 * 3)(asked.files, asked.network, asked.scopes)
    return int(libc.syscall(_CREATE_RULESET, words, ctypes.c_size_t(asked.size), 0))


def _allow(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    """Allow rights below a folder, or on a file. What is missing needs no rule."""
    try:
        # O_PATH opens nothing: neither a FIFO nor a device notices.
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (OSError, ValueError):
        return
    try:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        rule = _PathBeneath(rights if is_folder else rights & ~_FOLDER_RIGHTS, descriptor)
        libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(descriptor)
