"""The 29 features: integers from the headers of every Windows executable, in the order of a row.

The names are those of the PE format (Microsoft, "PE Format", FILE_HEADER and OPTIONAL_HEADER). A
feature's range is the width of its field.
"""

from collections.abc import Sequence

from agent.errors import PeerError

SCHEMA = "pehdr29/fixed-v1"
"""Names the features and the transform (agent.detector.transform) that a model belongs to."""

_U8, _U16, _U32, _U64 = 8, 16, 32, 64
_BITS = {
    "SizeOfOptionalHeader": _U16,
    "Characteristics": _U16,
    "NumberOfSections": _U16,
    "MajorLinkerVersion": _U8,
    "MinorLinkerVersion": _U8,
    "SizeOfCode": _U32,
    "SizeOfInitializedData": _U32,
    "SizeOfUninitializedData": _U32,
    "AddressOfEntryPoint": _U32,
    "BaseOfCode": _U32,
    "ImageBase": _U64,
    "SectionAlignment": _U32,
    "FileAlignment": _U32,
    "MajorOperatingSystemVersion": _U16,
    "MinorOperatingSystemVersion": _U16,
    "MajorImageVersion": _U16,
    "MinorImageVersion": _U16,
    "MajorSubsystemVersion": _U16,
    "MinorSubsystemVersion": _U16,
    "SizeOfImage": _U32,
    "SizeOfHeaders": _U32,
    "CheckSum": _U32,
    "Subsystem": _U16,
    "DllCharacteristics": _U16,
    "SizeOfStackReserve": _U64,
    "SizeOfHeapReserve": _U64,
    "SizeOfHeapCommit": _U64,
    "LoaderFlags": _U32,
    "NumberOfRvaAndSizes": _U32,
}
FEATURE_NAMES = tuple(_BITS)
FILE_HEADER_NAMES = frozenset({"SizeOfOptionalHeader", "Characteristics", "NumberOfSections"})
"""These are in the file header, all others in the optional header."""
FEATURE_RANGES = {name: (0, 2**bits - 1) for name, bits in _BITS.items()}
"""Lowest and highest value, both included."""


def validate_row(features: Sequence[int]) -> None:
    """Check that header fields can hold the row.

    Raises PeerError BAD_ROW unless it has 29 integers, each within its field's range.
    """
    if len(features) != len(FEATURE_NAMES):
        raise _bad(f"expected {len(FEATURE_NAMES)} values, got {len(features)}")
    for (name, (low, high)), value in zip(FEATURE_RANGES.items(), features, strict=True):
        if type(value) is not int or not low <= value <= high:
            raise _bad(f"{name}: expected an integer from {low} to {high}")


def _bad(detail: str) -> PeerError:
    return PeerError(
        "BAD_ROW",
        f"A feature row cannot be used ({detail}).",
        "Nothing was stored. Check its file or table.",
    )
