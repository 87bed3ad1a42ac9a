"""Made-up header rows with the habits of real toolchains, for demonstrations and tests: no row comes from any file or data set.

The rules are written by hand from what compilers, linkers and packers are documented or known to put into a header (PE format
specification; defaults of link.exe, GNU ld, Delphi, Visual Basic 6, Go, Rust, UPX). A *family* is a toolchain and a use; a *group* is
one project or campaign: its rows share toolchain, flags and versions, and differ in sizes. Whole groups are held out in a fair test.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from agent.detector.schema import FEATURE_NAMES

Ints = NDArray[np.int64]
Rows = NDArray[np.uint64]
T = TypeVar("T")

PAGE = 0x1000
EXE_32, EXE_32_STRIPPED, EXE_32_NO_RELOCATIONS = 0x0102, 0x010E, 0x010F
EXE_64, EXE_64_NO_RELOCATIONS = 0x0022, 0x0023
DLL_32, DLL_64, DLL_32_STRIPPED, DLL_64_STRIPPED = 0x2102, 0x2022, 0x210E, 0x202E
EXE_DELPHI, EXE_DELPHI_PACKED = 0x818E, 0x818F
ASLR_DEP, ASLR_DEP_64, CFG_64, CFG_32, TERMINAL_AWARE = 0x8140, 0x8160, 0xC160, 0xC140, 0x8000
NO_SEH_ASLR_DEP, GNU_DYNAMIC = 0x8540, 0x0160
WINDOWS_NT, GUI, CONSOLE, EFI = 1, 2, 3, 10
MEBI = 1 << 20


@dataclass(frozen=True)
class Family:
    """A toolchain and a use. Tuples are the choices that a group makes once; spans are (lowest, highest) of what rows draw."""

    name: str
    malicious: bool
    weight: float
    """Relative number of rows of this family in the world."""
    wide: bool
    """PE32+ (64 bit)."""
    characteristics: tuple[int, ...]
    linkers: tuple[tuple[int, int], ...]
    systems: tuple[tuple[int, int], ...]
    """Operating-system version (and, mostly, subsystem version)."""
    subsystems: tuple[int, ...]
    flags: tuple[int, ...]
    """DllCharacteristics."""
    bases: tuple[int, ...]
    sections: tuple[int, int]
    code_log2: tuple[float, float]
    data_log2: tuple[float, float]
    bare_log2: tuple[float, float] | None = None
    """Uninitialised data; None: none."""
    images: tuple[tuple[int, int], ...] = ((0, 0),)
    file_alignments: tuple[int, ...] = (0x200,)
    stacks: tuple[int, ...] = (MEBI,)
    checksum_chance: float = 0.0
    packed: bool = False
    """The entry point lies in an unpacking stub behind the code that the header states."""


FAMILIES = (
    # Benign.
    Family(
        "system library, 64 bit",
        False,
        9,
        True,
        (DLL_64,),
        ((14, 20), (14, 28), (14, 30), (14, 38), (12, 10)),
        ((10, 0), (6, 3), (6, 2)),
        (GUI, CONSOLE),
        (CFG_64, ASLR_DEP_64, 0x4160),
        (0x180000000,),
        (5, 8),
        (11, 21),
        (11, 20),
        images=((10, 0), (6, 3), (6, 2)),
        stacks=(MEBI // 4,),
        checksum_chance=0.98,
    ),
    Family(
        "system library, 32 bit",
        False,
        7,
        False,
        (DLL_32,),
        ((14, 20), (9, 0), (10, 10), (12, 10)),
        ((10, 0), (6, 1), (6, 3), (5, 1)),
        (GUI, CONSOLE),
        (0x0140, 0x4140, 0x0540),
        (0x10000000, 0x6B000000, 0x76F00000),
        (4, 6),
        (10, 20),
        (10, 18),
        images=((10, 0), (6, 1), (5, 1)),
        stacks=(MEBI // 4,),
        checksum_chance=0.97,
    ),
    Family(
        "application, MSVC 64 bit",
        False,
        6,
        True,
        (EXE_64, DLL_64),
        ((14, 0), (14, 16), (14, 29), (14, 36), (10, 0)),
        ((6, 0), (5, 2)),
        (GUI, CONSOLE),
        (ASLR_DEP_64, TERMINAL_AWARE | ASLR_DEP_64, TERMINAL_AWARE | CFG_64),
        (0x140000000, 0x180000000),
        (5, 8),
        (12, 24),
        (12, 23),
        checksum_chance=0.35,
    ),
    Family(
        "application, MSVC 32 bit",
        False,
        5,
        False,
        (EXE_32, DLL_32),
        ((14, 0), (12, 0), (10, 0), (9, 0), (14, 28)),
        ((6, 0), (5, 1), (5, 0)),
        (GUI, CONSOLE),
        (ASLR_DEP, TERMINAL_AWARE | ASLR_DEP, 0x0140),
        (0x400000, 0x10000000),
        (4, 7),
        (12, 23),
        (12, 22),
        checksum_chance=0.45,
    ),
    Family(
        "old tool, MSVC 6 to 8",
        False,
        3,
        False,
        (EXE_32_NO_RELOCATIONS, 0x0103),
        ((6, 0), (7, 10), (8, 0)),
        ((4, 0),),
        (GUI, CONSOLE),
        (0, TERMINAL_AWARE),
        (0x400000,),
        (3, 5),
        (12, 20),
        (11, 19),
        file_alignments=(0x1000, 0x200),
        checksum_chance=0.2,
    ),
    Family(
        "MinGW, 64 bit",
        False,
        5,
        True,
        (0x0026, 0x2026, DLL_64_STRIPPED, 0x022F),
        ((2, 24), (2, 30), (2, 35), (2, 40)),
        ((4, 0),),
        (CONSOLE, GUI),
        (GNU_DYNAMIC, 0, 0x0100),
        (0x400000, 0x140000000, 0x6D540000, 0x2F0000000),
        (9, 20),
        (12, 23),
        (12, 23),
        (5, 14),
        stacks=(2 * MEBI,),
        checksum_chance=0.95,
    ),
    Family(
        "MinGW, 32 bit",
        False,
        3,
        False,
        (EXE_32_NO_RELOCATIONS, DLL_32_STRIPPED, 0x0107),
        ((2, 22), (2, 25), (2, 32)),
        ((4, 0),),
        (CONSOLE, GUI),
        (0, 0x0140),
        (0x400000, 0x6C740000),
        (7, 17),
        (12, 22),
        (12, 22),
        (5, 13),
        images=((1, 0), (4, 0)),
        stacks=(2 * MEBI,),
        checksum_chance=0.9,
    ),
    Family(
        "Go program",
        False,
        3,
        True,
        (0x0222, 0x0022),
        ((3, 0),),
        ((6, 1), (4, 0)),
        (CONSOLE, GUI),
        (0x8160, 0, 0x0160),
        (0x400000, 0x140000000),
        (6, 15),
        (19, 24),
        (17, 21),
        images=((1, 0), (0, 0)),
    ),
    Family(
        "Rust program",
        False,
        3,
        True,
        (EXE_64, DLL_64),
        ((14, 16), (14, 29), (14, 36)),
        ((6, 0),),
        (CONSOLE, GUI),
        (TERMINAL_AWARE | ASLR_DEP_64,),
        (0x140000000, 0x180000000),
        (5, 6),
        (17, 23),
        (15, 22),
    ),
    Family(
        ".NET assembly",
        False,
        4,
        False,
        (0x0022, EXE_32, DLL_32, 0x2022),
        ((48, 0), (11, 0), (8, 0)),
        ((4, 0),),
        (CONSOLE, GUI),
        (0x8540, 0x8560),
        (0x400000, 0x10000000),
        (2, 4),
        (10, 21),
        (9, 12),
        checksum_chance=0.1,
    ),
    Family(
        "installer",
        False,
        4,
        False,
        (EXE_32_NO_RELOCATIONS, 0x0102, EXE_DELPHI_PACKED),
        ((6, 0), (2, 25), (14, 0)),
        ((4, 0), (5, 0), (6, 1)),
        (GUI,),
        (0x8000, 0x8140, 0x8540),
        (0x400000,),
        (5, 9),
        (14, 17),
        (14, 21),
        (10, 17),
        images=((6, 0), (0, 0)),
        checksum_chance=0.4,
    ),
    Family(
        "Delphi application",
        False,
        2,
        False,
        (EXE_DELPHI, EXE_DELPHI_PACKED),
        ((2, 25),),
        ((4, 0), (5, 0), (5, 1)),
        (GUI,),
        (0, ASLR_DEP),
        (0x400000,),
        (8, 11),
        (18, 23),
        (14, 22),
        (0, 15),
        checksum_chance=0.2,
    ),
    Family(
        "driver",
        False,
        3,
        True,
        (EXE_64,),
        ((9, 0), (14, 13), (12, 10)),
        ((10, 0), (6, 1), (6, 3)),
        (WINDOWS_NT,),
        (0x4160, 0, 0x0160),
        (0x140000000, 0x10000),
        (5, 10),
        (12, 20),
        (10, 18),
        images=((10, 0), (6, 1)),
        stacks=(MEBI // 4,),
        checksum_chance=0.99,
    ),
    Family(
        "packed portable tool",
        False,
        1,
        False,
        (EXE_32_NO_RELOCATIONS, 0x0102),
        ((6, 0), (9, 0), (2, 25)),
        ((4, 0), (5, 0)),
        (GUI, CONSOLE),
        (0, TERMINAL_AWARE),
        (0x400000,),
        (3, 3),
        (14, 21),
        (12, 15),
        (15, 22),
        packed=True,
    ),
    # Malicious.
    Family(
        "packed",
        True,
        9,
        False,
        (EXE_32_NO_RELOCATIONS, 0x0103, EXE_32),
        ((6, 0), (2, 25), (8, 0), (9, 0)),
        ((4, 0), (5, 0)),
        (GUI,),
        (0, TERMINAL_AWARE),
        (0x400000,),
        (3, 5),
        (13, 20),
        (11, 16),
        (14, 21),
        packed=True,
        stacks=(MEBI, 0x100000),
        checksum_chance=0.08,
    ),
    Family(
        "Delphi",
        True,
        7,
        False,
        (EXE_DELPHI_PACKED, EXE_DELPHI),
        ((2, 25),),
        ((4, 0),),
        (GUI,),
        (0,),
        (0x400000,),
        (8, 9),
        (15, 20),
        (12, 20),
        (0, 13),
    ),
    Family(
        "Visual Basic 6",
        True,
        5,
        False,
        (EXE_32_NO_RELOCATIONS,),
        ((6, 0),),
        ((4, 0),),
        (GUI,),
        (0,),
        (0x400000,),
        (3, 3),
        (13, 19),
        (12, 16),
        images=((1, 0), (4, 0), (5, 2)),
        file_alignments=(0x1000,),
        checksum_chance=0.6,
    ),
    Family(
        "old MSVC",
        True,
        9,
        False,
        (EXE_32_NO_RELOCATIONS, 0x0103, 0x010F),
        ((6, 0), (7, 10), (8, 0), (5, 12)),
        ((4, 0),),
        (GUI,),
        (0, TERMINAL_AWARE),
        (0x400000, 0x10000000),
        (3, 5),
        (12, 18),
        (12, 18),
        file_alignments=(0x1000, 0x200),
        checksum_chance=0.05,
    ),
    Family(
        "dropper, MSVC 9 to 12",
        True,
        9,
        False,
        (EXE_32, 0x0103, EXE_32_NO_RELOCATIONS),
        ((9, 0), (10, 0), (12, 0)),
        ((5, 0), (5, 1)),
        (GUI,),
        (ASLR_DEP, TERMINAL_AWARE | ASLR_DEP, TERMINAL_AWARE),
        (0x400000,),
        (4, 6),
        (14, 18),
        (15, 21),
        checksum_chance=0.15,
    ),
    Family(
        "script installer",
        True,
        5,
        False,
        (EXE_32_NO_RELOCATIONS,),
        ((6, 0), (9, 0)),
        ((4, 0), (5, 0)),
        (GUI,),
        (TERMINAL_AWARE, 0x8140),
        (0x400000,),
        (4, 6),
        (14, 19),
        (13, 19),
        (10, 17),
        images=((6, 0), (0, 0)),
    ),
    Family(
        ".NET obfuscated",
        True,
        4,
        False,
        (EXE_32, 0x0102, 0x010E),
        ((8, 0), (11, 0), (48, 0)),
        ((4, 0),),
        (GUI,),
        (0x8540, 0x0400),
        (0x400000,),
        (3, 5),
        (13, 20),
        (9, 18),
    ),
    Family(
        "library, 32 bit",
        True,
        4,
        False,
        (DLL_32, DLL_32_STRIPPED),
        ((6, 0), (9, 0), (10, 0)),
        ((4, 0), (5, 0), (5, 1)),
        (GUI,),
        (0, ASLR_DEP, 0x0140),
        (0x10000000,),
        (4, 6),
        (12, 18),
        (11, 18),
    ),
    Family(
        "modern, 64 bit",
        True,
        3,
        True,
        (EXE_64, 0x0023),
        ((14, 0), (14, 29), (10, 0), (2, 56)),
        ((6, 0), (5, 2)),
        (GUI, CONSOLE),
        (TERMINAL_AWARE | ASLR_DEP_64, 0x8120, 0),
        (0x140000000, 0x400000),
        (5, 8),
        (13, 20),
        (13, 22),
    ),
)
BY_NAME = {family.name: family for family in FAMILIES}


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows (n, 29) uint64 with what is known about each."""

    rows: Rows
    labels: Ints
    """0 benign, 1 malicious."""
    groups: Ints
    """Number of the project or campaign."""
    families: tuple[str, ...]
    """Name of the family, by row."""

    def __len__(self) -> int:
        return len(self.labels)

    def where(self, chosen: NDArray[np.bool_]) -> "Dataset":
        """The rows for which `chosen` holds."""
        families = tuple(name for name, keep in zip(self.families, chosen, strict=True) if keep)
        return Dataset(self.rows[chosen], self.labels[chosen], self.groups[chosen], families)


def generate(rng: np.random.Generator, rows: int, *, families: Sequence[Family] = FAMILIES, group_rows: int = 12) -> Dataset:
    """Make up `rows` rows in groups of about `group_rows`; the same generator state gives the same rows."""
    weights = np.array([family.weight for family in families])
    made: list[dict[str, int]] = []
    labels: list[int] = []
    groups: list[int] = []
    names: list[str] = []
    group = 0
    while len(made) < rows:
        family = families[int(rng.choice(len(families), p=weights / weights.sum()))]
        size = min(1 + int(rng.poisson(group_rows - 1)), rows - len(made))
        habits = _habits(family, rng)
        made += [_row(family, habits, rng) for _ in range(size)]
        labels += [int(family.malicious)] * size
        groups += [group] * size
        names += [family.name] * size
        group += 1
    table = np.array([[row[name] for name in FEATURE_NAMES] for row in made], np.uint64)
    return Dataset(table, np.array(labels), np.array(groups), tuple(names))


def hold_out(dataset: Dataset, rng: np.random.Generator, share: float) -> tuple[Dataset, Dataset]:
    """Split into (training, held out) so that no group stands on both sides; `share` of the groups is held out."""
    numbers = np.unique(dataset.groups)
    held = rng.permutation(numbers)[: round(share * len(numbers))]
    chosen = np.isin(dataset.groups, held)
    return dataset.where(~chosen), dataset.where(chosen)


@dataclass(frozen=True)
class _Habits:
    """What all rows of a group share."""

    characteristics: int
    linker: tuple[int, int]
    system: tuple[int, int]
    subsystem: int
    flags: int
    base: int
    image: tuple[int, int]
    file_alignment: int
    stack: int
    sections: int
    code_log2: float
    data_log2: float
    has_checksum: bool


def _habits(family: Family, rng: np.random.Generator) -> _Habits:
    return _Habits(
        characteristics=_pick(family.characteristics, rng),
        linker=_pick(family.linkers, rng),
        system=_pick(family.systems, rng),
        subsystem=_pick(family.subsystems, rng),
        flags=_pick(family.flags, rng),
        base=_pick(family.bases, rng),
        image=_pick(family.images, rng),
        file_alignment=_pick(family.file_alignments, rng),
        stack=_pick(family.stacks, rng),
        sections=int(rng.integers(family.sections[0], family.sections[1] + 1)),
        code_log2=float(rng.uniform(*family.code_log2)),
        data_log2=float(rng.uniform(*family.data_log2)),
        has_checksum=bool(rng.random() < family.checksum_chance),
    )


def _row(family: Family, habits: _Habits, rng: np.random.Generator) -> dict[str, int]:
    """One header: sizes drawn around the group's, everything else as the linker lays it out."""
    align = habits.file_alignment
    code, data = (_up(int(2 ** rng.normal(middle, 0.8)), align) for middle in (habits.code_log2, habits.data_log2))
    bare = _up(int(2 ** rng.uniform(*family.bare_log2)), align) if family.bare_log2 and rng.random() < 0.7 else 0
    sections = max(1, habits.sections + int(rng.choice((0, 0, 0, 1, -1))))
    start = _up(bare + PAGE, PAGE) if family.packed else PAGE
    image = start + _up(code, PAGE) + _up(data, PAGE) + _up(bare, PAGE) * (not family.packed) + PAGE * sections
    entry = start + code - int(rng.integers(0x10, min(code, 0x800) + 0x11)) if family.packed else start + int(rng.integers(code))
    system = habits.system
    return {
        "SizeOfOptionalHeader": 240 if family.wide else 224,
        "Characteristics": habits.characteristics,
        "NumberOfSections": sections,
        "MajorLinkerVersion": habits.linker[0],
        "MinorLinkerVersion": habits.linker[1],
        "SizeOfCode": code,
        "SizeOfInitializedData": data,
        "SizeOfUninitializedData": bare,
        "AddressOfEntryPoint": max(entry, 0),
        "BaseOfCode": start,
        "ImageBase": habits.base,
        "SectionAlignment": PAGE,
        "FileAlignment": align,
        "MajorOperatingSystemVersion": system[0],
        "MinorOperatingSystemVersion": system[1],
        "MajorImageVersion": habits.image[0],
        "MinorImageVersion": habits.image[1],
        "MajorSubsystemVersion": 5 if habits.linker[0] == 2 and family.wide else system[0],
        "MinorSubsystemVersion": 2 if habits.linker[0] == 2 and family.wide else system[1],
        "SizeOfImage": image,
        "SizeOfHeaders": _up(0x180 + 40 * sections + (0x40 if family.wide else 0), max(align, 0x200)),
        "CheckSum": int(rng.integers(1, 1 << 24)) if habits.has_checksum else 0,
        "Subsystem": habits.subsystem,
        "DllCharacteristics": habits.flags,
        "SizeOfStackReserve": habits.stack,
        "SizeOfHeapReserve": MEBI,
        "SizeOfHeapCommit": PAGE,
        "LoaderFlags": 0,
        "NumberOfRvaAndSizes": 16,
    }


def _pick(choices: Sequence[T], rng: np.random.Generator) -> T:
    return choices[int(rng.integers(len(choices)))]


def _up(size: int, step: int) -> int:
    """`size`, at least 1, rounded up to a multiple of `step`."""
    return -(-max(size, 1) // step) * step
