"""Imports are told apart by when they run, and cycles are found through any number of modules."""

import pytest

from tests.shape.imports import Kind, cycles, graphs
from tests.shape.source import read

WAYS = {
    Kind.IMPORT: "import agent.b",
    Kind.LAZY: "def use():\n    import agent.b\n",
    Kind.TYPING: "import typing\nif typing.TYPE_CHECKING:\n    from agent.b import Thing\n",
}


def found(root, kind):
    return cycles(graphs(read(root, ("agent",)))[kind])


@pytest.mark.parametrize("way", Kind)
def test_a_cycle_counts_for_its_own_kind_and_the_weaker_ones(checkout, way):
    root = checkout({"agent/a.py": WAYS[way], "agent/b.py": "from agent import a\n"})
    kinds = list(Kind)
    assert [bool(found(root, kind)) for kind in kinds] == [
        kinds.index(kind) >= kinds.index(way) for kind in kinds
    ]


def test_a_cycle_names_all_its_modules_and_no_other(checkout):
    root = checkout(
        {
            "agent/__init__.py": "",
            "agent/a.py": "from agent.x.b import name",
            "agent/x/__init__.py": "",
            "agent/x/b.py": "from . import c",
            "agent/x/c.py": "from ..d import other",
            "agent/d.py": "import agent.a",
            "agent/outside.py": "import agent.a",
        }
    )
    assert found(root, Kind.IMPORT) == [["agent.a", "agent.d", "agent.x.b", "agent.x.c"]]


def test_two_cycles_that_do_not_meet_are_two(checkout):
    root = checkout(
        {f"agent/{one}.py": f"import agent.{other}" for one, other in ("ab", "ba", "cd", "dc")}
    )
    assert found(root, Kind.IMPORT) == [["agent.a", "agent.b"], ["agent.c", "agent.d"]]


def test_a_name_from_a_package_is_an_import_of_the_package(checkout):
    root = checkout(
        {
            "agent/x/__init__.py": "from agent.x.deep import VALUE",
            "agent/x/deep.py": "from agent.x import OTHER",
        }
    )
    assert found(root, Kind.IMPORT) == [["agent.x", "agent.x.deep"]]


def test_the_other_branch_of_a_typing_test_runs(checkout):
    text = "import typing\nif typing.TYPE_CHECKING:\n    pass\nelse:\n    import agent.b\n"
    root = checkout({"agent/a.py": text, "agent/b.py": "import agent.a"})
    assert found(root, Kind.IMPORT) == [["agent.a", "agent.b"]]


def test_a_module_that_imports_itself_or_a_library_is_in_no_cycle(checkout):
    root = checkout({"agent/a.py": "import os, json\nfrom agent import a\nfrom os import path"})
    assert found(root, Kind.TYPING) == []
