"""Parameters, methods, fields, lengths and comments are counted as a reader would count them."""

import pytest

from tests.shape import signatures
from tests.shape.source import read


def names(count):
    return ", ".join(f"p{number}" for number in range(count))


def sizes(find, root):
    return [str(item) for item in find(read(root, ("agent",)))]


def test_self_is_no_parameter_and_ten_are_allowed(checkout):
    constructors = (
        f"class {name}:\n    def __init__(self, {names(count)}): ...\n"
        for name, count in (("Ten", 10), ("More", 11))
    )
    root = checkout({"agent/a.py": "".join(constructors)})
    assert sizes(signatures.large_constructors, root) == ["agent/a.py:More.__init__ 11"]
    assert sizes(signatures.large_functions, root) == []


@pytest.mark.parametrize(
    "parameters",
    [
        "a, b, c, d, e, f, g, h, i",
        "a, b, /, c, d, *, e, f, g, h, i",
        "a, b, c, d, e, f, g, *rest, **more",
    ],
    ids=["plain", "of every kind", "with the rest"],
)
def test_nine_parameters_are_too_many_for_a_function(checkout, parameters):
    root = checkout({"agent/a.py": f"def wide({parameters}): ...\n"})
    assert sizes(signatures.large_functions, root) == ["agent/a.py:wide 9"]


def test_methods_lose_their_first_parameter_unless_they_are_static(checkout):
    text = f"""
    class A:
        @classmethod
        def made(cls, {names(8)}): ...
        if True:
            def bound(self, {names(8)}): ...
        @staticmethod
        def free({names(9)}): ...
        def outer(self):
            def inner({names(9)}): ...
    """
    root = checkout({"agent/a.py": text})
    assert sizes(signatures.large_functions, root) == [
        "agent/a.py:A.free 9",
        "agent/a.py:A.outer.inner 9",
    ]


def test_a_property_with_its_setter_is_one_method(checkout):
    methods = "".join(f"    def m{number}(self): ...\n" for number in range(19))
    pair = "    @property\n    def p(self): ...\n    @p.setter\n    def p(self, value): ...\n"
    large = f"class Large:\n{methods}{pair}    def last(self): ...\n"
    root = checkout({"agent/a.py": f"class Fits:\n{methods}{pair}\n{large}"})
    assert sizes(signatures.large_classes, root) == ["agent/a.py:Large 21"]


@pytest.mark.parametrize("head", ["@dataclass(frozen=True)\nclass V:\n", "class V(NamedTuple):\n"])
def test_fields_of_a_value_are_counted_apart(checkout, head):
    fields = "".join(f"    f{number}: int\n" for number in range(11))
    root = checkout({"agent/a.py": f"{head}{fields}    shared: ClassVar[int] = 0\n"})
    assert sizes(signatures.large_values, root) == ["agent/a.py:V 11"]
    assert sizes(signatures.large_constructors, root) == []


def test_a_functions_length_includes_its_docstring_and_not_its_decorators(checkout):
    root = checkout(
        {"agent/a.py": '@mark\n@mark\ndef f():\n    """Text.\n\n    More.\n    """\n    return 1\n'}
    )
    assert signatures.function_lengths(read(root, ("agent",))) == [6]


def test_a_comment_counts_wherever_it_stands_and_a_hash_in_a_text_does_not(checkout):
    root = checkout({"agent/a.py": "# why\nx = 1  # unit: s\ny = '# no'\nz = 2\n"})
    assert signatures.comment_share(read(root, ("agent",))) == 0.5
    assert signatures.comment_share([]) == 0
