"""Checks that what the store holds has the form in which it was written.

Whoever edits the file, or a disk that loses bits, may leave a value of another type. Reading it
then ends in one error (STORE_DAMAGED) instead of a wrong decision somewhere else.
"""

from collections.abc import Hashable, Mapping
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar, cast, get_type_hints

from agent.store.database import damaged

T = TypeVar("T")


def conforms(value: object, shape: Any) -> bool:
    """Whether `value` has the shape: a type; a tuple of alternatives; an object with at least these
    fields; a list of exactly these items. A boolean is no number.
    """
    if isinstance(shape, tuple):
        return any(conforms(value, one) for one in shape)
    if isinstance(shape, Mapping):
        return isinstance(value, dict) and all(
            name in value and conforms(value[name], one) for name, one in shape.items()
        )
    if isinstance(shape, list):
        return (
            isinstance(value, list)
            and len(value) == len(shape)
            and all(map(conforms, value, shape))
        )
    if shape is object:
        return True
    return isinstance(value, shape) and (shape is bool or not isinstance(value, bool))


def record(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    """Return a value of the dataclass `kind` from exactly its fields, each of its plain type.

    Fields of other types than str, int and bool are not checked. Raises UserActionError
    STORE_DAMAGED.
    """
    plain = _plain_fields(cast(Hashable, kind))
    try:
        result = kind(**values)
    except TypeError as error:
        raise damaged(f"{where}: {error}") from error
    for name, expected in plain.items():
        if not conforms(getattr(result, name), expected):
            raise damaged(f"{where}: {name} is not {expected.__name__}")
    return result


@cache
def _plain_fields(kind: Any) -> dict[str, type]:
    hints = get_type_hints(kind)
    return {
        field.name: hints[field.name]
        for field in fields(kind)
        if hints[field.name] in (str, int, bool)
    }
