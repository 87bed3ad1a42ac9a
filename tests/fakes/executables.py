"""Small Windows executables, made field by field, whole or with one thing wrong."""

import struct

LFANEW, MACHINE_AMD64 = 0x40, 0x8664
PE32_BYTES, PE64_BYTES = 96, 112


def section(virtual=0x200, raw=0x200, pointer=0x200):
    return struct.pack("<8s6I2HI", b".text", virtual, 0x1000, raw, pointer, 0, 0, 0, 0, 0x60000020)


def executable(
    *,
    sections=None,
    magic=0x20B,
    optional_bytes=None,
    number_of_sections=None,
    start=LFANEW,
    section_alignment=0x1000,
    file_alignment=0x200,
    size=1024,
    directories=16,
):
    """The bytes of an image, padded or cut to `size`."""
    table = [section()] if sections is None else sections
    optional = _optional(magic, section_alignment, file_alignment, directories) + bytes(
        8 * min(directories, 16)
    )
    length = len(optional) if optional_bytes is None else optional_bytes
    head = struct.pack(
        "<4s2H3I2H",
        b"PE\0\0",
        MACHINE_AMD64,
        len(table) if number_of_sections is None else number_of_sections,
        0x5F5E100,
        0,
        0,
        length,
        0x22,
    )
    body = bytearray(head + optional)
    at = len(head) + length
    body[at : at + 40 * len(table)] = b"".join(table)
    dos = bytearray(b"MZ".ljust(60, b"\0") + struct.pack("<I", start))
    if start < len(dos):  # The headers overlap: the image is its own DOS header.
        content = bytearray(dos[:start] + body)
        content[60:64] = dos[60:64]
    else:
        content = dos.ljust(start, b"\0") + body
    return bytes(content[:size].ljust(size, b"\0"))


def _optional(magic, section_alignment, file_alignment, directories):
    common = (0x200, 0, 0, 0x1000, 0x1000)
    aligned = (section_alignment, file_alignment)
    rest = (6, 0, 0, 0, 6, 0, 0, 0x3000, 0x200, 0, 3, 0x8160)
    if magic == 0x20B:
        return struct.pack(
            "<HBB5IQ2I6H4I2H4Q2I",
            magic, 14, 0, *common, 0x140000000, *aligned, *rest,
            0x100000, 0x1000, 0x100000, 0x1000, 0, directories,
        )  # fmt: skip
    return struct.pack(
        "<HBB5I4I6H4I2H4I2I",
        magic, 14, 0, *common, 0x2000, 0x400000, *aligned, *rest,
        0x100000, 0x1000, 0x100000, 0x1000, 0, directories,
    )  # fmt: skip
