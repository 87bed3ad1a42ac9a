"""The canonical byte form of a value that two ends hash or sign: JSON of integers, strings, lists
and maps, with sorted keys.

Floats are refused, because two machines may print them differently. The rules are a subset of RFC
8785.
"""

import hashlib
import json
from typing import Any


def canonical(value: Any) -> bytes:
    """Encode `value`.

    Raises TypeError for anything but None, bool, int, str, list, tuple and dict with string keys.
    """
    _check(value)
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def digest(value: Any) -> str:
    """Return the SHA-256 of the canonical form, in hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def _check(value: Any) -> None:
    if value is None or isinstance(value, bool | int | str):
        return
    if isinstance(value, list | tuple):
        for item in value:
            _check(item)
        return
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        for item in value.values():
            _check(item)
        return
    raise TypeError(
        f"a canonical value holds integers, strings, lists and maps, not {type(value).__name__}"
    )
