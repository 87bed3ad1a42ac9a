"""A module with logic is one whose functions do more than a few statements, and its test has its
name and place.
"""

import pytest

from tests.shape import mirror
from tests.shape.source import SourceFile, read

LOGIC = "def f(x):\n    y = x\n    if y:\n        y += 1\n    return y\n"


@pytest.mark.parametrize(
    ("path", "test"),
    [
        ("agent/clock.py", "tests/agent/test_clock.py"),
        ("agent/protocol/codec.py", "tests/agent/protocol/test_codec.py"),
        ("agent/worker/__main__.py", "tests/agent/worker/test_main.py"),
        ("ui/i18n/__init__.py", "tests/ui/test_i18n.py"),
    ],
)
def test_the_test_lies_where_the_module_lies(path, test):
    assert mirror.test_path(path) == test


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (LOGIC, True),
        ("def f(x):\n    '''Text.'''\n    y = x\n    z = y\n    return z\n", False),
        (
            "class A:\n    def f(self, x):\n        for i in x:\n"
            "            if i:\n                del i\n        return x\n",
            True,
        ),
        (
            "def f():\n    def g():\n        a = 1\n        b = 2\n        c = 3\n"
            "        return a\n    return g\n",
            True,
        ),
        (
            "X = 1\nY = 2\nZ = 3\nW = 4\n\nclass V:\n"
            "    a: int\n    b: int\n    c: int\n    d: int\n",
            False,
        ),
    ],
    ids=["branches", "forwards", "in a method", "in a closure", "values"],
)
def test_logic_is_more_than_three_statements_in_one_function(text, expected):
    assert mirror.has_logic(SourceFile("agent/a.py", text)) is expected


def test_only_modules_without_their_test_are_named(checkout):
    root = checkout(
        {
            "agent/a.py": LOGIC,
            "agent/b.py": LOGIC,
            "agent/values.py": "X = 1\n",
            "agent/__init__.py": "",
            "tests/agent/test_a.py": "",
            "tests/other/test_b.py": "",
        }
    )
    program, tests = read(root, ("agent",)), read(root, ("tests",))
    assert mirror.without_test(program, tests) == ["agent/b.py"]
    assert mirror.without_namesake(program, tests) == ["agent/b.py", "agent/values.py"]
