"""Says who owns a file on Windows and who else may change it, through ctypes.

Unverified: it has not run on a real machine yet. The functions are GetNamedSecurityInfoW, GetAce,
ConvertSidToStringSidW (advapi32) and LocalFree (kernel32).
"""

import ctypes
from collections.abc import Callable, Iterator
from ctypes import POINTER, Structure, byref, c_byte, c_uint, c_ushort, c_void_p, c_wchar_p, cast
from pathlib import Path
from typing import Any

ADMINISTRATORS = frozenset(
    {
        "S-1-5-18",  # SYSTEM
        "S-1-5-32-544",  # Administrators
        "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464",  # TrustedInstaller
    }
)
CREATOR_OWNER = "S-1-3-0"
WRITES = 0x2 | 0x4 | 0x10 | 0x40 | 0x10000 | 0x40000 | 0x80000 | 0x10000000 | 0x40000000
"""Write or append data, write extended attributes, delete (a child), change the list or the owner,
and the generic rights that contain them."""
_FILE_OBJECT, _OWNER_AND_LIST, _ALLOWED = 1, 0x1 | 0x4, 0
_REPARSE_POINT = 0x400


class _List(Structure):
    _fields_ = (
        ("revision", c_byte),
        ("padding", c_byte),
        ("size", c_ushort),
        ("count", c_ushort),
        ("padding2", c_ushort),
    )


class _Entry(Structure):
    _fields_ = (
        ("kind", c_byte),
        ("flags", c_byte),
        ("size", c_ushort),
        ("mask", c_uint),
        ("sid", c_uint),
    )


def fault_of(path: Path, library: Callable[[str], Any] | None = None) -> str:
    """Return why others than the administrators may have written `path`; empty if they cannot.

    `library` returns the DLL of a name; tests pass a fake. Raises OSError.
    """
    if getattr(path.lstat(), "st_file_attributes", 0) & _REPARSE_POINT:
        return f"{path} is a link"
    owner, grants = _security(path, library or _dll)
    if owner not in ADMINISTRATORS:
        return f"{path} does not belong to the Administrators"
    for sid, mask in grants:
        if mask & WRITES and sid not in ADMINISTRATORS | {CREATOR_OWNER}:
            return f"users other than the Administrators can change {path}"
    return ""


def _security(path: Path, library: Callable[[str], Any]) -> tuple[str, list[tuple[str, int]]]:
    """Return the owner's SID, and each SID that has rights with its access mask."""
    advapi, kernel = library("advapi32"), library("kernel32")
    owner, listed, descriptor = c_void_p(), c_void_p(), c_void_p()
    code = advapi.GetNamedSecurityInfoW(
        str(path), _FILE_OBJECT, _OWNER_AND_LIST, byref(owner), None, byref(listed), None,
        byref(descriptor),
    )  # fmt: skip
    if code:
        raise OSError(code, "its access list cannot be read")
    try:
        if not listed:  # no list at all gives everybody every right
            return _text(advapi, kernel, owner), [("S-1-1-0", WRITES)]
        return _text(advapi, kernel, owner), list(_grants(advapi, kernel, listed))
    finally:
        kernel.LocalFree(descriptor)


def _grants(advapi: Any, kernel: Any, listed: c_void_p) -> Iterator[tuple[str, int]]:
    for place in range(cast(listed, POINTER(_List)).contents.count):
        entry = c_void_p()
        if not advapi.GetAce(listed, place, byref(entry)):
            raise OSError(0, "its access list cannot be read")
        found = cast(entry, POINTER(_Entry)).contents
        if found.kind == _ALLOWED:
            sid = c_void_p((entry.value or 0) + _Entry.sid.offset)
            yield _text(advapi, kernel, sid), found.mask


def _text(advapi: Any, kernel: Any, sid: c_void_p) -> str:
    text = c_wchar_p()
    if not advapi.ConvertSidToStringSidW(sid, byref(text)):
        raise OSError(0, "an owner has no name")
    try:
        return text.value or ""
    finally:
        kernel.LocalFree(text)


def _dll(name: str) -> Any:
    return getattr(vars(ctypes)["windll"], name)
