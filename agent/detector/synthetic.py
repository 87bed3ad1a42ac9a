"""Synthetic header rows with the habits of real toolchains, for demonstrations and tests. No row is
taken from any file or data set.

A *family* is a toolchain and a use (`toolchains`). A *group* is one project or campaign: its rows
share toolchain, flags and versions, and differ in sizes. A fair test reserves whole groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from agent.detector.schema import FEATURE_NAMES
from agent.detector.toolchains import FAMILIES, MEBI, PAGE, Family

Ints = NDArray[np.int64]
Rows = NDArray[np.uint64]
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows (n, 29), uint64, with the label, group and family of each."""

    rows: Rows
    labels: Ints
    """0 benign, 1 malicious."""
    groups: Ints
    """Number of the project or campaign."""
    families: tuple[str, ...]
    """Name of each row's family."""

    def __len__(self) -> int:
        return len(self.labels)

    def where(self, chosen: NDArray[np.bool_]) -> "Dataset":
        """Return the rows for which `chosen` is true."""
        families = tuple(name for name, keep in zip(self.families, chosen, strict=True) if keep)
        return Dataset(self.rows[chosen], self.labels[chosen], self.groups[chosen], families)


def generate(
    rng: np.random.Generator,
    rows: int,
    *,
    families: Sequence[Family] = FAMILIES,
    group_rows: int = 12,
) -> Dataset:
    """Generate `rows` rows in groups of about `group_rows`. The same generator state gives the same
    rows.
    """
    weights = np.array([family.weight for family in families])
    headers: list[dict[str, int]] = []
    labels: list[int] = []
    groups: list[int] = []
    names: list[str] = []
    group = 0
    while len(headers) < rows:
        family = families[int(rng.choice(len(families), p=weights / weights.sum()))]
        size = min(1 + int(rng.poisson(group_rows - 1)), rows - len(headers))
        habits = _habits(family, rng)
        headers += [_row(family, habits, rng) for _ in range(size)]
        labels += [int(family.malicious)] * size
        groups += [group] * size
        names += [family.name] * size
        group += 1
    table = np.array([[row[name] for name in FEATURE_NAMES] for row in headers], np.uint64)
    return Dataset(table, np.array(labels), np.array(groups), tuple(names))


def hold_out(dataset: Dataset, rng: np.random.Generator, share: float) -> tuple[Dataset, Dataset]:
    """Split into (training, test) so that no group is on both sides.

    The test part has `share` of the groups.
    """
    numbers = np.unique(dataset.groups)
    test_groups = rng.permutation(numbers)[: round(share * len(numbers))]
    chosen = np.isin(dataset.groups, test_groups)
    return dataset.where(~chosen), dataset.where(chosen)


@dataclass(frozen=True)
class _Habits:
    """The values that all rows of a group share."""

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
    """Make one header: draw sizes around the group's, and lay out the rest as a linker does."""
    align = habits.file_alignment
    code, data = (
        _up(int(2 ** rng.normal(middle, 0.8)), align)
        for middle in (habits.code_log2, habits.data_log2)
    )
    bare = (
        _up(int(2 ** rng.uniform(*family.bare_log2)), align)
        if family.bare_log2 and rng.random() < 0.7
        else 0
    )
    sections = max(1, habits.sections + int(rng.choice((0, 0, 0, 1, -1))))
    start = _up(bare + PAGE, PAGE) if family.packed else PAGE
    image = (
        start
        + _up(code, PAGE)
        + _up(data, PAGE)
        + _up(bare, PAGE) * (not family.packed)
        + PAGE * sections
    )
    entry = (
        start + code - int(rng.integers(0x10, min(code, 0x800) + 0x11))
        if family.packed
        else start + int(rng.integers(code))
    )
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
        "SizeOfHeaders": _up(
            0x180 + 40 * sections + (0x40 if family.wide else 0), max(align, 0x200)
        ),
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
    """Round `size`, at least 1, up to a multiple of `step`."""
    return -(-max(size, 1) // step) * step
