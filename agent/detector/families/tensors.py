"""Reads safetensors files strictly: exactly the named tensors, in the named form, finite."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from agent.detector.families.family import unusable

ANY = -1
"""In a shape: any length from 1 to the form's `most`."""


@dataclass(frozen=True)
class Form:
    """What one tensor must look like."""

    dtype: type[np.generic]
    shape: tuple[int, ...]
    most: int = 1 << 20
    """The greatest length where the shape says ANY."""

    def fits(self, tensor: NDArray[np.generic]) -> bool:
        return (
            tensor.dtype == np.dtype(self.dtype)
            and tensor.ndim == len(self.shape)
            and all(
                length == wanted or (wanted == ANY and 1 <= length <= self.most)
                for length, wanted in zip(tensor.shape, self.shape, strict=True)
            )
        )


def metadata(content: bytes) -> dict[str, str]:
    """Return the metadata of a file that `read` has read."""
    length = int.from_bytes(content[:8], "little")
    found = json.loads(content[8 : 8 + length]).get("__metadata__") or {}
    return {str(key): str(value) for key, value in found.items()}


def read(
    content: bytes, forms: Mapping[str, Form], optional: frozenset[str] = frozenset()
) -> dict[str, NDArray[np.generic]]:
    """Read a file that holds the tensors of `forms` and nothing else.

    Of `optional` either all are there or none. Raises PeerError MODEL_WRONG_SHAPE,
    MODEL_NOT_FINITE.
    """
    try:
        tensors: dict[str, NDArray[np.generic]] = dict(load(content))
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise unusable("MODEL_WRONG_SHAPE", f"cannot be read ({type(error).__name__})") from error
    names = frozenset(tensors)
    if names not in (frozenset(forms), frozenset(forms) - optional):
        raise unusable("MODEL_WRONG_SHAPE", "does not hold the tensors of its family")
    for name, tensor in tensors.items():
        if not forms[name].fits(tensor):
            raise unusable("MODEL_WRONG_SHAPE", "holds a tensor of another shape", name)
        if np.issubdtype(tensor.dtype, np.floating) and not np.isfinite(tensor).all():
            raise unusable("MODEL_NOT_FINITE", "holds values that are not numbers", name)
    return tensors
