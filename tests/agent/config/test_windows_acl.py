"""Owner and access list of a file on Windows, with fakes of the two libraries."""

import ctypes
from ctypes import c_void_p

import pytest

from agent.config.windows_acl import CREATOR_OWNER, fault_of

ADMINISTRATORS, SYSTEM, USERS = "S-1-5-32-544", "S-1-5-18", "S-1-5-32-545"
READ, WRITE = 0x120089, 0x2
ALLOWED, DENIED = 0, 1


class Libraries:
    """A file with an owner and entries (kind, SID, mask). A SID is its place in `sids`, as an
    integer in the entry.
    """

    def __init__(self, owner, entries, code=0):
        self.sids, self.code, self.freed = [owner], code, 0
        self.entries = []
        for kind, sid, mask in entries:
            self.sids.append(sid)
            raw = bytes([kind, 0]) + (12).to_bytes(2, "little") + mask.to_bytes(4, "little")
            place = (len(self.sids) - 1).to_bytes(4, "little")
            self.entries.append(ctypes.create_string_buffer(raw + place))
        count = len(entries).to_bytes(2, "little")
        self.listed = ctypes.create_string_buffer(bytes(4) + count + bytes(2))
        self.owner = ctypes.create_string_buffer((0).to_bytes(4, "little"))
        self.texts = [ctypes.create_unicode_buffer(sid) for sid in self.sids]

    def __call__(self, name):
        assert name in ("advapi32", "kernel32")
        return self

    def GetNamedSecurityInfoW(self, path, kind, what, owner, _, listed, __, descriptor):
        assert (kind, what) == (1, 5)
        owner._obj.value = ctypes.addressof(self.owner)
        listed._obj.value = ctypes.addressof(self.listed)
        return self.code

    def GetAce(self, listed, place, entry):
        entry._obj.value = ctypes.addressof(self.entries[place])
        return 1

    def ConvertSidToStringSidW(self, sid, text):
        address = sid.value if isinstance(sid, c_void_p) else sid
        number = int.from_bytes(ctypes.string_at(address, 4), "little")
        ctypes.cast(text, ctypes.POINTER(c_void_p))[0] = ctypes.addressof(self.texts[number])
        return 1

    def LocalFree(self, _):
        self.freed += 1


@pytest.mark.parametrize(
    ("owner", "entries", "fault"),
    [
        (ADMINISTRATORS, [(ALLOWED, ADMINISTRATORS, WRITE), (ALLOWED, USERS, READ)], ""),
        (SYSTEM, [(ALLOWED, SYSTEM, WRITE), (ALLOWED, CREATOR_OWNER, WRITE)], ""),
        (ADMINISTRATORS, [(DENIED, USERS, WRITE)], ""),
        ("S-1-5-21-1-2-3-1001", [], "does not belong to the Administrators"),
        (ADMINISTRATORS, [(ALLOWED, USERS, WRITE)], "than the Administrators can change"),
        (ADMINISTRATORS, [(ALLOWED, USERS, READ), (ALLOWED, "S-1-1-0", 0x40000)], "can change"),
    ],
)
def test_only_administrators_may_own_and_change_it(tmp_path, owner, entries, fault):
    found = fault_of(tmp_path, Libraries(owner, entries))
    assert (fault in found) if fault else found == ""


def test_a_list_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(OSError, match="cannot be read"):
        fault_of(tmp_path, Libraries(ADMINISTRATORS, [], code=5))
