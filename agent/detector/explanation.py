"""Explains a verdict: which header fields move the score most, in words.

1. The fields are taken in groups that mean one thing together. A group is replaced by what a
   typical program has there, and the change of the logit is the group's weight. So any model can be
   explained that gives a logit for a row.
2. A file that looks benign is compared with a typical malicious program, any other file with a
   typical benign one. The comparison keeps the word size and whether the file is a library.
3. The typical values were written by hand from what compilers and packers write by default
   (agent.detector.toolchains); no file was counted. A weight tells about the model, not about what
   the program does.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.detector.schema import FEATURE_NAMES
from agent.protocol.jobs import ScoreReason

MOST_REASONS = 3
LEAST_WEIGHT = 0.05
"""A change of the logit below this is no reason: it moves a probability by about one point."""
_CHUNK_ROWS = 16
"""Each row is scored once for every group, and a family may make thousands of features of it."""
Logits = Callable[[NDArray[np.uint64]], NDArray[np.float64]]
"""Returns the logit (n) of being malicious of raw rows (n, 29)."""
Fields = Mapping[str, int]
_INDEX = {name: place for place, name in enumerate(FEATURE_NAMES)}

PE32_BYTES, PE32_PLUS_BYTES = 224, 240
DLL = 0x2000
ASLR, DEP, GUARD = 0x0040, 0x0100, 0x4000
RELOCATIONS_STRIPPED = 0x0001
_SUBSYSTEMS = {1: "driver", 2: "graphical program", 3: "console program", 10: "EFI program"}
_LINKER_YEARS = {2: 1992, 5: 1997, 6: 1998, 7: 2002, 8: 2005, 9: 2008, 10: 2010, 11: 2012, 12: 2013}


@dataclass(frozen=True)
class Group:
    """Fields that mean one thing together."""

    names: tuple[str, ...]
    benign: Callable[[Fields], Mapping[str, int]]
    """What a typical benign program has in these fields."""
    malicious: Callable[[Fields], Mapping[str, int]]
    says: Callable[[Fields], str]
    """The file's own values in words."""


def explain(
    rows: NDArray[np.uint64], is_benign: Sequence[bool], logits: Logits
) -> list[tuple[ScoreReason, ...]]:
    """Return the reasons of each row (n, 29), the strongest first, at most MOST_REASONS each.

    A row that looks benign gets what lowers its score, any other what raises it.
    """
    return [
        reasons
        for start in range(0, len(rows), _CHUNK_ROWS)
        for reasons in _explained(
            rows[start : start + _CHUNK_ROWS], is_benign[start : start + _CHUNK_ROWS], logits
        )
    ]


def _explained(
    rows: NDArray[np.uint64], is_benign: Sequence[bool], logits: Logits
) -> list[tuple[ScoreReason, ...]]:
    variants = np.repeat(rows[:, None, :], 1 + len(GROUPS), axis=1)
    fields = [dict(zip(FEATURE_NAMES, row, strict=True)) for row in rows.tolist()]
    for place, (values, benign) in enumerate(zip(fields, is_benign, strict=True)):
        for number, group in enumerate(GROUPS, 1):
            typical = (group.malicious if benign else group.benign)(values)
            for name, value in typical.items():
                variants[place, number, _INDEX[name]] = value
    scores = logits(variants.reshape(-1, rows.shape[1])).reshape(len(rows), -1)
    weights = scores[:, :1] - scores[:, 1:]
    return [
        _strongest(values, benign, row.tolist())
        for values, benign, row in zip(fields, is_benign, weights, strict=True)
    ]


def _strongest(
    values: Fields, is_benign: bool, weights: Sequence[float]
) -> tuple[ScoreReason, ...]:
    sign = -1 if is_benign else 1
    ranked = sorted(zip(weights, GROUPS, strict=True), key=lambda pair: -sign * pair[0])
    return tuple(
        ScoreReason(group.names, group.says(values), round(weight, 3))
        for weight, group in ranked[:MOST_REASONS]
        if sign * weight >= LEAST_WEIGHT
    )


def _fixed(**values: int) -> Callable[[Fields], Mapping[str, int]]:
    return lambda _: values


def _is_wide(row: Fields) -> bool:
    return row["SizeOfOptionalHeader"] == PE32_PLUS_BYTES


def _by_width(
    narrow: Mapping[str, int], wide: Mapping[str, int]
) -> Callable[[Fields], Mapping[str, int]]:
    return lambda row: wide if _is_wide(row) else narrow


def _flags(exe_narrow: int, exe_wide: int) -> Callable[[Fields], Mapping[str, int]]:
    def typical(row: Fields) -> Mapping[str, int]:
        flags = exe_wide if _is_wide(row) else exe_narrow
        if row["Characteristics"] & DLL:  # a library can always be relocated
            flags = flags & ~RELOCATIONS_STRIPPED | DLL
        return {"Characteristics": flags}

    return typical


def _size(count: int) -> str:
    if count < 1 << 10:
        return f"{count} bytes"
    return f"{count / (1 << 10):.0f} KiB" if count < 1 << 20 else f"{count / (1 << 20):.1f} MiB"


def _says_width(row: Fields) -> str:
    width = {PE32_BYTES: "32-bit", PE32_PLUS_BYTES: "64-bit"}.get(row["SizeOfOptionalHeader"])
    kind = f"{width} program" if width else "unusual length of the optional header"
    return f"{kind}, to be loaded at {row['ImageBase']:#x}"


def _says_linker(row: Fields) -> str:
    major, minor = row["MajorLinkerVersion"], row["MinorLinkerVersion"]
    year = _LINKER_YEARS.get(major)
    since = f" (Microsoft's linker of that number is of {year})" if year else ""
    return f"linker version {major}.{minor}{since}"


def _says_system(row: Fields) -> str:
    system, least = (
        f"{row[f'Major{name}Version']}.{row[f'Minor{name}Version']}"
        for name in ("OperatingSystem", "Subsystem")
    )
    return f"made for Windows version {system}, needs {least} or later"


def _says_image_version(row: Fields) -> str:
    major, minor = row["MajorImageVersion"], row["MinorImageVersion"]
    return f"states the version {major}.{minor}" if major or minor else "states no version"


def _says_protections(row: Fields) -> str:
    flags = row["DllCharacteristics"]
    has: list[str] = []
    lacks: list[str] = []
    for bit, name in ((ASLR, "ASLR (random addresses)"), (DEP, "DEP (data is never run)")):
        (has if flags & bit else lacks).append(name)
    if flags & GUARD:
        has.append("guarded calls (CFG)")
    parts = [f"protections on: {', '.join(has)}"] if has else []
    parts += [f"protections off: {', '.join(lacks)}"] if lacks else []
    return "; ".join(parts)


def _says_flags(row: Fields) -> str:
    flags = row["Characteristics"]
    kind = "library (DLL)" if flags & DLL else "program (EXE)"
    fixed = ", cannot be moved in memory" if flags & RELOCATIONS_STRIPPED else ""
    return f"{kind}{fixed}, flags {flags:#06x}"


def _says_entry(row: Fields) -> str:
    if not row["AddressOfEntryPoint"]:
        return "has no entry point"
    place = "inside" if _is_entry_inside(row) else "outside of"
    return f"begins to run {place} the code that its header states"


def _says_sizes(row: Fields) -> str:
    code, data, bare, image = (
        _size(row[name])
        for name in (
            "SizeOfCode", "SizeOfInitializedData", "SizeOfUninitializedData", "SizeOfImage"
        )
    )  # fmt: skip
    empty = f", {bare} reserved" if row["SizeOfUninitializedData"] else ""
    return f"{code} of code, {data} of data{empty}, {image} in memory"


def _says_memory(row: Fields) -> str:
    stack, heap = _size(row["SizeOfStackReserve"]), _size(row["SizeOfHeapReserve"])
    return f"reserves {stack} of stack and {heap} of heap"


def _is_entry_inside(row: Fields) -> bool:
    start = row["BaseOfCode"]
    return start <= row["AddressOfEntryPoint"] < start + row["SizeOfCode"]


def _entry_inside(row: Fields) -> Mapping[str, int]:
    return {"AddressOfEntryPoint": min(row["BaseOfCode"] + row["SizeOfCode"] // 2, 2**32 - 1)}


def _entry_outside(row: Fields) -> Mapping[str, int]:
    beyond = min(row["BaseOfCode"] + row["SizeOfCode"] + 0x1000, 2**32 - 1)
    return {"AddressOfEntryPoint": beyond}


def _sizes(**values: int) -> Callable[[Fields], Mapping[str, int]]:
    """The entry point moves along: it stays inside or outside of the code."""

    def typical(row: Fields) -> Mapping[str, int]:
        moved = {**row, **values}
        if not row["AddressOfEntryPoint"]:
            return values
        entry = _entry_inside(moved) if _is_entry_inside(row) else _entry_outside(moved)
        return {**values, **entry}

    return typical


GROUPS = (
    Group(
        ("SizeOfOptionalHeader", "ImageBase"),
        _fixed(SizeOfOptionalHeader=PE32_PLUS_BYTES, ImageBase=0x140000000),
        _fixed(SizeOfOptionalHeader=PE32_BYTES, ImageBase=0x400000),
        _says_width,
    ),
    Group(
        ("MajorLinkerVersion", "MinorLinkerVersion"),
        _fixed(MajorLinkerVersion=14, MinorLinkerVersion=29),
        _fixed(MajorLinkerVersion=6, MinorLinkerVersion=0),
        _says_linker,
    ),
    Group(
        (
            "MajorOperatingSystemVersion",
            "MinorOperatingSystemVersion",
            "MajorSubsystemVersion",
            "MinorSubsystemVersion",
        ),
        _fixed(
            MajorOperatingSystemVersion=6,
            MinorOperatingSystemVersion=0,
            MajorSubsystemVersion=6,
            MinorSubsystemVersion=0,
        ),
        _fixed(
            MajorOperatingSystemVersion=4,
            MinorOperatingSystemVersion=0,
            MajorSubsystemVersion=4,
            MinorSubsystemVersion=0,
        ),
        _says_system,
    ),
    Group(
        ("MajorImageVersion", "MinorImageVersion"),
        _fixed(MajorImageVersion=10, MinorImageVersion=0),
        _fixed(MajorImageVersion=0, MinorImageVersion=0),
        _says_image_version,
    ),
    Group(
        ("DllCharacteristics",),
        _by_width({"DllCharacteristics": 0x8140}, {"DllCharacteristics": 0x8160}),
        _fixed(DllCharacteristics=0),
        _says_protections,
    ),
    Group(
        ("Characteristics",),
        _flags(0x0102, 0x0022),
        _flags(0x010F, 0x0023),
        _says_flags,
    ),
    Group(
        ("NumberOfSections",),
        _by_width({"NumberOfSections": 5}, {"NumberOfSections": 6}),
        _fixed(NumberOfSections=3),
        lambda row: f"{row['NumberOfSections']} sections".removesuffix(
            "s" if row["NumberOfSections"] == 1 else ""
        ),
    ),
    Group(
        ("CheckSum",),
        _fixed(CheckSum=0x12345),
        _fixed(CheckSum=0),
        lambda row: "has a checksum" if row["CheckSum"] else "has no checksum",
    ),
    Group(("AddressOfEntryPoint",), _entry_inside, _entry_outside, _says_entry),
    Group(
        (
            "SizeOfCode",
            "SizeOfInitializedData",
            "SizeOfUninitializedData",
            "SizeOfImage",
            "SizeOfHeaders",
        ),
        _sizes(
            SizeOfCode=0x40000,
            SizeOfInitializedData=0x20000,
            SizeOfUninitializedData=0,
            SizeOfImage=0x65000,
            SizeOfHeaders=0x400,
        ),
        _sizes(
            SizeOfCode=0x8000,
            SizeOfInitializedData=0x1000,
            SizeOfUninitializedData=0x10000,
            SizeOfImage=0x1A000,
            SizeOfHeaders=0x1000,
        ),
        _says_sizes,
    ),
    Group(
        ("SectionAlignment", "FileAlignment"),
        _fixed(SectionAlignment=0x1000, FileAlignment=0x200),
        _fixed(SectionAlignment=0x1000, FileAlignment=0x1000),
        lambda row: (
            f"parts aligned to {row['SectionAlignment']} bytes in memory and"
            f" {row['FileAlignment']} in the file"
        ),
    ),
    Group(
        ("Subsystem",),
        _fixed(Subsystem=3),
        _fixed(Subsystem=2),
        lambda row: _SUBSYSTEMS.get(row["Subsystem"], f"subsystem {row['Subsystem']}"),
    ),
    Group(
        ("SizeOfStackReserve", "SizeOfHeapReserve", "SizeOfHeapCommit"),
        _fixed(SizeOfStackReserve=1 << 20, SizeOfHeapReserve=1 << 20, SizeOfHeapCommit=0x1000),
        _fixed(SizeOfStackReserve=1 << 20, SizeOfHeapReserve=1 << 20, SizeOfHeapCommit=0x1000),
        _says_memory,
    ),
    Group(
        ("LoaderFlags", "NumberOfRvaAndSizes"),
        _fixed(LoaderFlags=0, NumberOfRvaAndSizes=16),
        _fixed(LoaderFlags=0, NumberOfRvaAndSizes=16),
        lambda row: (
            f"says that it has {row['NumberOfRvaAndSizes']} data directories, loader flags"
            f" {row['LoaderFlags']:#x}"
        ),
    ),
)
"""BaseOfCode belongs to no group: replaced alone it would move the entry point out of the code."""
