"""What the store holds has the form in which it was written, or it is one clear error."""

from dataclasses import dataclass

import pytest

from agent.errors import UserActionError
from agent.store.shapes import conforms, record


@pytest.mark.parametrize(
    ("value", "shape", "expected"),
    [
        (1, int, True),
        (True, int, False),
        (True, bool, True),
        ("1", int, False),
        (None, (int, type(None)), True),
        ({"a": 1, "b": 2}, {"a": int}, True),
        ({"b": 2}, {"a": int}, False),
        ([], {"a": int}, False),
        (["x", 1], [str, int], True),
        (["x"], [str, int], False),
        ("x1", [str, int], False),
        (object(), object, True),
    ],
)
def test_shapes(value, shape, expected):
    assert conforms(value, shape) is expected


@dataclass(frozen=True)
class Point:
    x: int
    name: str
    more: dict | None = None


def test_a_record_has_exactly_its_fields_of_their_types():
    assert record(Point, {"x": 1, "name": "a"}, "point") == Point(1, "a")
    for values in ({"x": 1}, {"x": 1, "name": "a", "z": 0}, {"x": "1", "name": "a"}):
        with pytest.raises(UserActionError) as raised:
            record(Point, values, "point")
        assert raised.value.code == "STORE_DAMAGED"
