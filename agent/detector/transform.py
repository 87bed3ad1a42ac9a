"""The transform `fixed-v1`: 29 header integers to 115 numbers in [0, 1].

It uses constants only, so devices share no statistics. The order of the outputs is part of the
format, because a model's weights depend on it.
"""

import numpy as np
from numpy.typing import NDArray

from agent.detector.schema import FEATURE_NAMES

OUTPUTS = 115
Floats = NDArray[np.float64]

_LOG_32 = (
    "SizeOfCode",
    "SizeOfInitializedData",
    "SizeOfUninitializedData",
    "AddressOfEntryPoint",
    "BaseOfCode",
    "SizeOfImage",
    "SizeOfHeaders",
    "SizeOfStackReserve",
    "SizeOfHeapReserve",
    "SizeOfHeapCommit",
)
_LOG_16 = (
    "SectionAlignment",
    "FileAlignment",
    "NumberOfSections",
    "MinorLinkerVersion",
    "MinorOperatingSystemVersion",
    "MajorImageVersion",
    "MinorImageVersion",
    "MinorSubsystemVersion",
)
_IMAGE_BASES = (0x400000, 0x10000000, 0x10000, 0x180000000, 0x140000000)
_EDGES = {
    "NumberOfSections": (2, 3, 4, 5, 6, 7, 8, 9, 12),
    "MajorLinkerVersion": (2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15, 48),
    "MajorOperatingSystemVersion": (4, 5, 6, 10, 11),
    "MajorSubsystemVersion": (4, 5, 6, 10, 11),
    "MajorImageVersion": (1, 4, 5, 6, 10, 11),
}
_SUBSYSTEMS = (1, 2, 3, 9, 10)
_ZERO = ("SizeOfCode", "SizeOfInitializedData", "SizeOfUninitializedData", "AddressOfEntryPoint")
_OF_IMAGE = ("SizeOfCode", "SizeOfInitializedData", "AddressOfEntryPoint")
_INDEX = {name: position for position, name in enumerate(FEATURE_NAMES)}


def transform(rows: NDArray[np.uint64] | Floats) -> Floats:
    """Transform raw rows (n, 29) to model inputs (n, 115), all in [0, 1].

    Integers above 2**53 lose precision, as in any float64. Raises ValueError for another shape.
    """
    if rows.ndim != 2 or rows.shape[1] != len(FEATURE_NAMES):
        raise ValueError(f"expected rows of {len(FEATURE_NAMES)} values, got shape {rows.shape}")
    raw = rows.astype(np.float64)
    blocks = [*_sizes(raw), *_thermometers(raw), *_flags(raw), *_relations(raw)]
    return np.column_stack(blocks).astype(np.float64)


def _column(raw: Floats, name: str) -> Floats:
    column: Floats = raw[:, _INDEX[name]]
    return column


def _log(column: Floats, bits: int) -> Floats:
    return np.clip(np.log2(1 + column) / bits, 0, 1)


def _one_of(column: Floats, values: tuple[int, ...]) -> list[NDArray[np.bool_]]:
    hits = [column == value for value in values]
    return [*hits, ~np.logical_or.reduce(hits)]


def _sizes(raw: Floats) -> list[NDArray[np.generic]]:
    """Logarithms of sizes and versions, and the image base."""
    base = _column(raw, "ImageBase")
    return [
        *(_log(_column(raw, name), 32) for name in _LOG_32),
        *(_log(_column(raw, name), 16) for name in _LOG_16),
        _log(base, 64),
        *_one_of(base, _IMAGE_BASES),
    ]


def _thermometers(raw: Floats) -> list[NDArray[np.generic]]:
    """Whether a value reaches each edge, one output for each."""
    return [_column(raw, name) >= edge for name, edges in _EDGES.items() for edge in edges]


def _flags(raw: Floats) -> list[NDArray[np.generic]]:
    """The subsystem, the bits of both flag words, and the kind of optional header."""
    bits = [
        (_column(raw, name).astype(np.uint64) >> np.uint64(bit)) & np.uint64(1)
        for name in ("Characteristics", "DllCharacteristics")
        for bit in range(16)
    ]
    return [
        *_one_of(_column(raw, "Subsystem"), _SUBSYSTEMS),
        *bits,
        *_one_of(_column(raw, "SizeOfOptionalHeader"), (224, 240)),
    ]


def _relations(raw: Floats) -> list[NDArray[np.generic]]:
    """What is set or zero, shares of the image, and whether the entry point is in the code."""
    image = np.maximum(_column(raw, "SizeOfImage"), 1)
    entry, start, size = (
        _column(raw, name) for name in ("AddressOfEntryPoint", "BaseOfCode", "SizeOfCode")
    )
    return [
        _column(raw, "CheckSum") != 0,
        _column(raw, "LoaderFlags") != 0,
        _column(raw, "NumberOfRvaAndSizes") == 16,
        *(_column(raw, name) == 0 for name in _ZERO),
        *(np.clip(_column(raw, name) / image, 0, 1) for name in _OF_IMAGE),
        (start <= entry) & (entry < start + size),
    ]
